/**
 * The way to one of several etcd endpoints: one etcd3 client at a time, thrown away when its connection or its login fails.
 *
 * Of etcd3 only the typed calls and raw streams are used. Its retries and circuit breakers are off: a write that was retried
 * behind our back would see its own first try as somebody else's. Its watchers, leases and elections lose events or time.
 */
import { readFile } from "node:fs/promises";
import { rootCertificates } from "node:tls";
import { Etcd3, type IOptions } from "etcd3";
import { FaultError, worldFault } from "#base/fault.ts";
import type { Secret, StoreSettings } from "#base/settings.ts";
import { etcdFault, isConnectionFault, isLoginFault, wasNeverSent } from "./etcd-fault.ts";
import { storeClosed } from "./store-limits.ts";

export type EtcdSettings = Extract<StoreSettings, { kind: "etcd" }>;
/** Text of a secret, without a trailing line break; rejects with a FaultError that names the file, never its content. */
export type ReadSecret = (secret: Secret) => Promise<string>;

/** Per unary call, as an absolute deadline; never as a default of the client, where it would end the watches too. */
const callMillis = 5_000;

const channelOptions = {
  // etcd drops a client that pings more often than every 5 s.
  "grpc.keepalive_time_ms": 10_000,
  "grpc.keepalive_timeout_ms": 3_000,
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 2_000,
  "grpc.max_receive_message_length": 64 * 1024 * 1024,
};

/** etcd3's fault handling, switched off: every call runs once. */
type Policy = NonNullable<NonNullable<IOptions["faultHandling"]>["global"]>;
const never = new AbortController().signal;
const once = {
  execute: async <T>(run: (context: { signal: AbortSignal }) => PromiseLike<T> | T): Promise<T> => await run({ signal: never }),
  onSuccess: () => ({ dispose() {} }),
  onFailure: () => ({ dispose() {} }),
} as unknown as Policy;

export interface Stream {
  cancel(): void;
}

/** One client of one endpoint. Streams are listed so that they move on with the client. */
export interface EtcdLink {
  readonly endpoint: string;
  readonly client: Etcd3;
  readonly streams: Set<Stream>;
}

export class EtcdClient {
  readonly #settings: EtcdSettings;
  readonly #readSecret: ReadSecret;
  /** Nodes of a cluster start at different endpoints, so that one etcd does not carry all. */
  #turn: number;
  #link: Promise<EtcdLink> | undefined;
  /** Thrown away by some call, maybe while another was about to use it. */
  readonly #retired = new WeakSet<EtcdLink>();
  #closed = false;

  constructor(settings: EtcdSettings, readSecret: ReadSecret) {
    this.#settings = settings;
    this.#readSecret = readSecret;
    this.#turn = Math.floor(Math.random() * settings.endpoints.length);
  }

  /** The endpoint that is asked next. */
  get endpoint(): string {
    return this.#settings.endpoints[this.#turn % this.#settings.endpoints.length]!;
  }

  /** The link in use; made, with certificates and password read anew, if there is none. */
  link(): Promise<EtcdLink> {
    if (this.#closed) return Promise.reject(storeClosed());
    if (this.#link === undefined) {
      const link = this.#open(this.endpoint);
      this.#link = link;
      link.catch(() => {
        if (this.#link === link) this.#link = undefined;
      });
    }
    return this.#link;
  }

  /**
   * Runs one unary call within its deadline. A `read` is tried at every endpoint; a `write` goes to the next one only if it
   * certainly did nothing. Rejects with a FaultError.
   */
  async call<T>(kind: "read" | "write", run: (client: Etcd3, options: { readonly deadline: number }) => Promise<T>): Promise<T> {
    for (let tried = 1, logins = 0; ; tried++) {
      const link = await this.link();
      try {
        return await run(link.client, { deadline: Date.now() + callMillis });
      } catch (cause) {
        const fault = etcdFault(cause, link.endpoint);
        if (this.#retired.has(link) && wasNeverSent(cause) && !this.#closed) continue;
        const isAway = isConnectionFault(fault),
          isLogin = isLoginFault(cause);
        if (isAway || isLogin) this.retire(link, isAway);
        // A token goes stale by no fault of anybody: once, a new login is worth a try.
        if (isLogin && logins++ === 0) continue;
        if (!isAway || tried >= this.#settings.endpoints.length || (kind === "write" && !wasNeverSent(cause))) throw fault;
      }
    }
  }

  /** Throws a client away, and its streams with it; `move` goes on to the next endpoint. */
  retire(link: EtcdLink, move: boolean): void {
    if (this.#retired.has(link)) return;
    this.#retired.add(link);
    this.#link = undefined;
    if (move) this.#turn++;
    shut(link);
  }

  async close(): Promise<void> {
    this.#closed = true;
    const link = await this.#link?.catch(() => undefined);
    this.#link = undefined;
    if (link) shut(link);
  }

  async #open(endpoint: string): Promise<EtcdLink> {
    const { username, password } = this.#settings;
    const credentials = await this.#credentials(endpoint);
    const auth = username === undefined || password === undefined ? undefined : { username, password: await this.#readSecret(password) };
    const client = new Etcd3({
      hosts: endpoint,
      grpcOptions: channelOptions,
      faultHandling: { host: () => once, global: once },
      ...(credentials && { credentials }),
      ...(auth && { auth: { ...auth, callOptions: () => ({ deadline: Date.now() + callMillis }) } }),
    });
    return { endpoint, client, streams: new Set() };
  }

  async #credentials(endpoint: string): Promise<IOptions["credentials"]> {
    const { ca, cert, key } = this.#settings;
    if (!endpoint.startsWith("https:") || (ca === undefined && cert === undefined)) return undefined;
    return {
      rootCertificate: ca === undefined ? Buffer.from(rootCertificates.join("\n")) : await readCredential(ca),
      ...(cert !== undefined && key !== undefined && { certChain: await readCredential(cert), privateKey: await readCredential(key) }),
    };
  }
}

async function readCredential(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new FaultError(worldFault("store.credentials", `the store's certificate file ${path} cannot be read: ${(cause as Error).message}`), cause);
  }
}

function shut(link: EtcdLink): void {
  for (const stream of link.streams) stream.cancel();
  link.client.close();
}
