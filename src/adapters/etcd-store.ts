/** The Store port over etcd v3. See etcd-watch.ts for the watch and etcd-client.ts for endpoints, TLS and login. */
import type { IKeyValue, IRangeResponse, IRequestOp, IResponseHeader, ITxnResponse } from "etcd3";
import { assert } from "#base/assert.ts";
import type { Compare, Entry, Store, StoreNews, SwapResult, Write } from "#ports/store.ts";
import { EtcdClient, type EtcdSettings, type ReadSecret, type Stream } from "./etcd-client.ts";
import { etcdFault } from "./etcd-fault.ts";
import { type Position, watchEtcd } from "./etcd-watch.ts";
import { checkTtl, checkWrites } from "./store-limits.ts";

const pageKeys = 500;
/** Listings begun again because etcd was compacted between two pages. */
const listTries = 5;
const keepAliveMillis = 5_000;

/** A store that connects at the first call; making it touches nothing. */
export function createEtcdStore(settings: EtcdSettings, readSecret: ReadSecret): Store {
  assert(settings.endpoints.length > 0, "an etcd store has an endpoint");
  return new EtcdStore(settings, readSecret);
}

class EtcdStore implements Store {
  readonly #client: EtcdClient;
  readonly #prefix: string;

  constructor(settings: EtcdSettings, readSecret: ReadSecret) {
    this.#client = new EtcdClient(settings, readSecret);
    this.#prefix = `${settings.prefix}/`;
  }

  watch(prefix: string, signal: AbortSignal): AsyncIterable<StoreNews> {
    const start = this.#key(prefix);
    return watchEtcd(
      {
        client: this.#client,
        start,
        end: rangeEnd(start),
        list: () => this.#list(prefix),
        head: async () => position((await this.#range({ key: start, limit: 1, keys_only: true })).header),
        news: ({ type, kv }) =>
          type === "Put" ? { kind: "put", entry: this.#entry(kv) } : { kind: "delete", key: this.#strip(kv.key), revision: BigInt(kv.mod_revision) },
      },
      signal,
    );
  }

  async list(prefix: string): Promise<{ readonly entries: readonly Entry[]; readonly revision: bigint }> {
    const listed = await this.#list(prefix);
    return { entries: listed.entries, revision: listed.position.revision };
  }

  async get(key: string): Promise<Entry | undefined> {
    const { kvs } = await this.#range({ key: this.#key(key) });
    return kvs[0] && this.#entry(kvs[0]);
  }

  create(key: string, value: Uint8Array, lease?: string): Promise<SwapResult> {
    return this.#swap({ key, is: "absent" }, { kind: "put", key, value, ...(lease !== undefined && { lease }) });
  }

  replace(key: string, value: Uint8Array, modRevision: bigint, lease?: string): Promise<SwapResult> {
    return this.#swap({ key, is: "at", modRevision }, { kind: "put", key, value, ...(lease !== undefined && { lease }) });
  }

  remove(key: string, modRevision: bigint): Promise<SwapResult> {
    return this.#swap({ key, is: "at", modRevision }, { kind: "delete", key });
  }

  async transact(compares: readonly Compare[], writes: readonly Write[]): Promise<{ readonly done: boolean; readonly revision: bigint }> {
    const { succeeded, header } = await this.#txn(compares, writes, []);
    return { done: succeeded, revision: BigInt(header.revision) };
  }

  async grant(ttlSeconds: number): Promise<{ readonly id: string; readonly ttlSeconds: number }> {
    checkTtl(ttlSeconds);
    const { ID, TTL } = await this.#client.call("write", (client, options) => client.leaseClient.leaseGrant({ TTL: ttlSeconds }, options));
    return { id: ID, ttlSeconds: Number(TTL) };
  }

  async keepAlive(lease: string): Promise<{ readonly ttlSeconds: number }> {
    // One stream for one beat: it leaves no timer behind, and a new one after a cut needs no care.
    const ttl = await this.#client.call("read", async (client) => {
      const stream = await client.leaseClient.leaseKeepAlive({ deadline: Date.now() + keepAliveMillis });
      try {
        return await new Promise<string>((resolve, reject) => {
          stream.on("data", (answer) => resolve(answer.TTL));
          stream.on("error", reject);
          stream.on("end", () => reject(new Error("UNAVAILABLE: the stream ended without an answer")));
          stream.write({ ID: lease });
        });
      } finally {
        stream.end();
        (stream as Stream).cancel();
      }
    });
    return { ttlSeconds: Number(ttl) };
  }

  async revoke(lease: string): Promise<void> {
    try {
      await this.#client.call("write", (client, options) => client.leaseClient.leaseRevoke({ ID: lease }, options));
    } catch (cause) {
      if (etcdFault(cause, this.#client.endpoint).fault.code !== "store.lease-gone") throw cause;
    }
  }

  close(): Promise<void> {
    return this.#client.close();
  }

  /** Everything under a prefix as of one revision, in pages so that no answer is too large. */
  async #list(prefix: string): Promise<{ readonly entries: readonly Entry[]; readonly position: Position }> {
    for (let left = listTries; ; left--) {
      try {
        return await this.#listPages(prefix);
      } catch (cause) {
        const compacted = cause instanceof Error && /required revision has been compacted/.test(cause.message);
        if (!compacted || left === 1) throw cause;
      }
    }
  }

  async #listPages(prefix: string): Promise<{ readonly entries: readonly Entry[]; readonly position: Position }> {
    const start = this.#key(prefix),
      end = rangeEnd(start);
    const entries: Entry[] = [];
    let key = start,
      at: Position | undefined;
    for (;;) {
      const page = await this.#range({ key, range_end: end, limit: pageKeys, ...(at && { revision: String(at.revision) }) });
      at ??= position(page.header);
      for (const kv of page.kvs) entries.push(this.#entry(kv));
      if (!page.more) return { entries, position: at };
      key = Buffer.concat([page.kvs.at(-1)!.key, Buffer.of(0)]);
    }
  }

  #range(request: { key: Buffer; range_end?: Buffer; limit?: number; revision?: string; keys_only?: boolean }): Promise<IRangeResponse> {
    return this.#client.call("read", (client, options) => client.kv.range(request, options));
  }

  async #swap(compare: Compare, write: Write): Promise<SwapResult> {
    const answer = await this.#txn([compare], [write], [{ request_range: { key: this.#key(write.key) } }]);
    const kv = answer.succeeded ? undefined : answer.responses[0]?.response_range.kvs[0];
    return { done: answer.succeeded, current: kv && this.#entry(kv), revision: BigInt(answer.header.revision) };
  }

  async #txn(compares: readonly Compare[], writes: readonly Write[], failure: IRequestOp[]): Promise<ITxnResponse> {
    checkWrites(compares, writes);
    const compare = compares.map((each) => {
      const key = this.#key(each.key);
      if (each.is === "absent") return { key, result: "Equal", target: "Create", create_revision: "0" } as const;
      return { key, result: "Equal", target: "Mod", mod_revision: String(each.modRevision) } as const;
    });
    const success = writes.map((write): IRequestOp => {
      const key = this.#key(write.key);
      if (write.kind === "delete") return { request_delete_range: { key } };
      return { request_put: { key, value: Buffer.from(write.value), lease: write.lease ?? "0" } };
    });
    return this.#client.call("write", (client, options) => client.kv.txn({ compare, success, failure }, options));
  }

  #key(key: string): Buffer {
    return Buffer.from(this.#prefix + key);
  }

  #strip(key: Buffer): string {
    return key.toString().slice(this.#prefix.length);
  }

  #entry(kv: IKeyValue): Entry {
    return {
      key: this.#strip(kv.key),
      value: kv.value,
      createRevision: BigInt(kv.create_revision),
      modRevision: BigInt(kv.mod_revision),
      lease: kv.lease === "0" ? undefined : kv.lease,
    };
  }
}

function position(header: IResponseHeader): Position {
  return { cluster: header.cluster_id, term: BigInt(header.raft_term), revision: BigInt(header.revision) };
}

/** First key after all that start with `start`: its last octet plus one (keys are UTF-8, so no octet is 255). */
function rangeEnd(start: Buffer): Buffer {
  const end = Buffer.from(start);
  end[end.length - 1]!++;
  return end;
}
