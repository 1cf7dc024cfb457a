/** All claims on single pod addresses, as the store's watch tells them and as this node's own writes have left them, whichever is later. */
import type { Ip } from "#base/ip.ts";
import { addressesPrefix, addressKey, parseClaim, type StoredClaim } from "#ipam/address-claim.ts";
import type { Entry, Store, StoreNews, SwapResult } from "#ports/store.ts";
import type { Task } from "./tasks.ts";

export class AddressClaims {
  readonly #store: Store;
  readonly #claims = new Map<string, StoredClaim>();
  /** Pool and owner → keys. */
  readonly #byOwner = new Map<string, Set<string>>();
  /** Revision at which a key was last seen to be gone. */
  readonly #gone = new Map<string, bigint>();
  readonly #listeners = new Set<(changed: ReadonlySet<string>) => void>();
  readonly #changed = new Set<string>();
  #flush: NodeJS.Immediate | undefined;
  /** Revision of the watch's last word. */
  #watched = 0n;
  /** All of them have been seen once. */
  isKnown = false;
  /** Why the store does not tell; undefined while it does. */
  away: string | undefined = "the store has not answered yet";

  constructor(store: Store) {
    this.#store = store;
  }

  at(address: Ip): StoredClaim | undefined {
    return this.#claims.get(addressKey(address));
  }
  all(): Iterable<StoredClaim> {
    return this.#claims.values();
  }
  ofOwner(pool: string, owner: string): readonly StoredClaim[] {
    return [...(this.#byOwner.get(ownerText(pool, owner)) ?? [])].map((key) => this.#claims.get(key)!);
  }
  /** Hears which addresses' claims changed, some at a time; first when all are known. */
  onChange(listener: (addresses: ReadonlySet<string>) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** What a write of ours, or a compare that failed, showed of a key. */
  saw(address: Ip, { current, revision }: Pick<SwapResult, "current" | "revision">): void {
    if (current !== undefined) this.#put(current);
    else this.#remove(addressKey(address), revision);
  }
  /** Everything as the store has it now, not as the watch had it. Rejects with the store's fault. */
  async refresh(): Promise<void> {
    const { entries, revision } = await this.#store.list(addressesPrefix);
    this.#takeAll(entries, revision, false);
  }

  /** Follows the store until the signal. */
  task(): Task {
    return {
      name: "claims",
      run: async (signal, ready) => {
        ready();
        for await (const news of this.#store.watch(addressesPrefix, signal)) {
          if (signal.aborted) break;
          this.#see(news);
        }
        clearImmediate(this.#flush);
      },
    };
  }

  #see(news: StoreNews): void {
    if (news.kind === "away") this.away = news.text;
    else this.away = undefined;
    if (news.kind === "put") this.#put(news.entry);
    if (news.kind === "delete") this.#remove(news.key, news.revision);
    const revision = news.kind === "put" ? news.entry.modRevision : news.kind === "away" || news.kind === "back" ? this.#watched : news.revision;
    const isOther = revision < this.#watched;
    this.#watched = revision;
    if (news.kind !== "snapshot") return;
    this.#takeAll(news.entries, revision, isOther);
    this.isKnown = true;
    this.#tell();
  }

  /** A list may be older than a write of ours: what is later stays. `isOther`: the store was restored, and counts anew from a lower revision. */
  #takeAll(entries: readonly Entry[], revision: bigint, isOther: boolean): void {
    if (isOther) this.#gone.clear();
    const there = new Set(entries.map(({ key }) => key));
    for (const key of this.#claims.keys()) if (isOther || !there.has(key)) this.#remove(key, revision, isOther);
    for (const entry of entries) this.#put(entry);
  }

  #put(entry: Entry): void {
    const before = this.#claims.get(entry.key),
      claim = parseClaim(entry);
    if (before !== undefined && before.modRevision >= entry.modRevision) return;
    if ((this.#gone.get(entry.key) ?? -1n) >= entry.modRevision) return;
    this.#gone.delete(entry.key);
    this.#forget(entry.key);
    if (claim !== undefined) {
      this.#claims.set(entry.key, claim);
      const owner = ownerText(claim.pool, claim.owner);
      this.#byOwner.set(owner, (this.#byOwner.get(owner) ?? new Set()).add(entry.key));
    }
    this.#mark(entry.key);
  }
  #remove(key: string, revision: bigint, always = false): void {
    const before = this.#claims.get(key);
    if (before === undefined || (before.modRevision > revision && !always)) return;
    this.#forget(key);
    if (!always) this.#gone.set(key, revision);
    if (this.#gone.size > goneMost) for (const oldest of [...this.#gone.keys()].slice(0, goneMost / 2)) this.#gone.delete(oldest);
    this.#mark(key);
  }
  #forget(key: string): void {
    const claim = this.#claims.get(key);
    this.#claims.delete(key);
    if (claim === undefined) return;
    const owner = ownerText(claim.pool, claim.owner),
      keys = this.#byOwner.get(owner);
    keys?.delete(key);
    if (keys?.size === 0) this.#byOwner.delete(owner);
  }

  #mark(key: string): void {
    this.#changed.add(key.slice(addressesPrefix.length));
    this.#flush ??= setImmediate(() => this.#tell());
  }
  #tell(): void {
    clearImmediate(this.#flush);
    this.#flush = undefined;
    const changed = new Set(this.#changed);
    this.#changed.clear();
    if (this.isKnown) for (const listener of this.#listeners) listener(changed);
  }
}

/** Keys whose end is remembered, against news that comes late. */
const goneMost = 10_000;
const ownerText = (pool: string, owner: string): string => `${pool} ${owner}`;
