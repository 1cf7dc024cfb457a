/**
 * Where this node accepts BGP connections, as the settings say now. A port that is taken is named with its holder and tried
 * again; the rest works (product §6.10). A neighbour that has a key is never accepted without one: while its key cannot be read,
 * one that nobody knows stands in for it (product §6.9).
 */
import { randomBytes } from "node:crypto";
import { FaultError } from "#base/fault.ts";
import type { Ip } from "#base/ip.ts";
import { note } from "#base/note.ts";
import { contains, type Prefix, prefixParts } from "#base/prefix.ts";
import type { ListenSettings, NodeSettings, Secret } from "#base/settings.ts";
import type { Connection, Listener, Net } from "#ports/net.ts";
import type { Telemetry } from "#ports/telemetry.ts";

/** What failed is tried again after this. */
const retryMillis = 5000;
/** A key that no neighbour can know. */
const noKey = (): Uint8Array => randomBytes(32);

export interface ListenersParts {
  readonly net: Net;
  readonly telemetry: Telemetry;
  readonly secret: (secret: Secret) => Promise<Uint8Array>;
  readonly accepted: (connection: Connection) => void;
  /** Keys were read anew: connections that are open take on another, if `changedKey` has one for their remote address. */
  readonly rekeyed: (changedKey: (remote: Ip) => Uint8Array | undefined) => void;
}
export type ListenState = { readonly state: "listening" | "off" | "failed"; readonly text: string };

type Keyed = Ip | Prefix;
type Listening = Pick<NodeSettings, "listen" | "peers" | "ranges">;

export class Listeners {
  readonly #parts: ListenersParts;
  readonly #open = new Map<string, Listener>();
  #keys: ReadonlyMap<Keyed, Uint8Array> = new Map();
  /** The last key that could be read of each: what connections that are open have. */
  #known: ReadonlyMap<Keyed, Uint8Array> = new Map();
  #state: ListenState = { state: "off", text: "this node only dials" };
  /** Sentences about keys. */
  #warnings: readonly string[] = [];
  readonly #said = new Set<string>();
  #following: Promise<void> = Promise.resolve();
  #retry: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(parts: ListenersParts) {
    this.#parts = parts;
  }

  get state(): ListenState {
    return this.#state;
  }
  get warnings(): readonly string[] {
    return this.#warnings;
  }

  /** Opens, closes and keys what differs; one call after another. Never rejects. */
  follow(settings: Listening): Promise<void> {
    this.#following = this.#following.then(() => this.#apply(settings));
    return this.#following;
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#retry);
    for (const listener of this.#open.values()) listener.close();
    this.#open.clear();
  }

  async #apply(settings: Listening): Promise<void> {
    clearTimeout(this.#retry);
    if (this.#closed) return;
    const { listen } = settings,
      places = placesOf(listen);
    for (const [place, listener] of this.#open) {
      if (places.has(place)) continue;
      listener.close();
      this.#open.delete(place);
    }
    const { keys, unread, problems } = await this.#readKeys(settings);
    this.#rekeyOpen(keys, unread);
    if (!listen) {
      this.#state = { state: "off", text: "this node only dials" };
      this.#warnings = [];
      return;
    }
    for (const listener of this.#open.values()) problems.push(...rekey(listener, this.#keys, keys));
    this.#keys = keys;
    const failures: string[] = [];
    for (const [place, address] of places)
      if (!this.#open.has(place)) await this.#openAt(place, address, listen.port).catch((cause: unknown) => failures.push(sentenceOf(cause)));
    const where = listen.addresses.length === 0 ? "every address" : listen.addresses.join(", ");
    this.#state = failures.length > 0 ? { state: "failed", text: failures.join(" ") } : { state: "listening", text: `${where}, port ${listen.port}` };
    this.#warnings = problems;
    this.#say(failures, problems);
    if (!this.#closed && failures.length + problems.length > 0) this.#retry = setTimeout(() => void this.follow(settings), retryMillis).unref();
  }

  async #openAt(place: string, address: Ip | undefined, port: number): Promise<void> {
    const md5 = Array.from(this.#keys, ([peer, key]) => ({ peer, key }));
    const listener = await this.#parts.net.listen(address, port, { ttl: 255, md5 }, this.#parts.accepted);
    if (this.#closed) listener.close();
    else this.#open.set(place, listener);
  }

  /** Connections that are open go on under a key that was changed; what cannot be read changes nothing for them. */
  #rekeyOpen(keys: ReadonlyMap<Keyed, Uint8Array>, unread: ReadonlySet<Keyed>): void {
    const before = this.#known,
      after = new Map(Array.from(keys, ([of, key]) => [of, unread.has(of) ? before.get(of) : key] as const).filter(isRead));
    this.#known = after;
    if (before.size === 0) return;
    this.#parts.rekeyed((remote) => {
      const old = keyOf(before, remote),
        young = keyOf(after, remote);
      return old && young && Buffer.compare(old, young) !== 0 ? young : undefined;
    });
  }

  async #readKeys({ peers, ranges }: Listening): Promise<KeysRead> {
    const keys = new Map<Keyed, Uint8Array>(),
      unread = new Set<Keyed>(),
      problems: string[] = [];
    const keyed = [
      ...peers.map(({ name, md5, address }) => ({ name, md5, of: address as Keyed })),
      ...ranges.map(({ name, md5, range }) => ({ name, md5, of: range as Keyed })),
    ];
    for (const { name, md5, of } of keyed) {
      if (!md5) continue;
      const key = await this.#parts.secret(md5).catch((cause: unknown) => {
        problems.push(`${name} cannot connect to us: ${sentenceOf(cause)}`);
        unread.add(of);
        return noKey();
      });
      keys.set(of, key);
    }
    return { keys, unread, problems };
  }

  /** Each failure once, until everything is well again. */
  #say(failures: readonly string[], problems: readonly string[]): void {
    if (failures.length + problems.length === 0) this.#said.clear();
    for (const [event, texts] of [
      ["bgp.listen-failed", failures],
      ["bgp.no-key", problems],
    ] as const)
      for (const text of texts) {
        if (this.#said.has(text)) continue;
        this.#said.add(text);
        this.#parts.telemetry.note(note("error", event, text));
      }
  }
}

interface KeysRead {
  readonly keys: ReadonlyMap<Keyed, Uint8Array>;
  /** Those for which a key that nobody knows stands in. */
  readonly unread: ReadonlySet<Keyed>;
  readonly problems: string[];
}

const isRead = (entry: readonly [Keyed, Uint8Array | undefined]): entry is readonly [Keyed, Uint8Array] => entry[1] !== undefined;

/** As the kernel chooses: the key of the address, or of the longest prefix. */
function keyOf(keys: ReadonlyMap<Keyed, Uint8Array>, remote: Ip): Uint8Array | undefined {
  const own = keys.get(remote);
  if (own) return own;
  const prefixes = [...keys.keys()].filter((of): of is Prefix => of.includes("/") && contains(of as Prefix, remote));
  const longest = prefixes.toSorted((a, b) => prefixParts(b).length - prefixParts(a).length)[0];
  return longest && keys.get(longest);
}

/** What to open, by a name of its own; undefined stands for every address. */
function placesOf(listen: ListenSettings | undefined): ReadonlyMap<string, Ip | undefined> {
  if (!listen) return new Map();
  const addresses = listen.addresses.length === 0 ? [undefined] : listen.addresses;
  return new Map(addresses.map((address) => [`${address ?? "*"} ${listen.port}`, address]));
}

/** Gives an open listener the keys that differ, and takes away those that are gone. Answers what went wrong. */
function rekey(listener: Listener, before: ReadonlyMap<Keyed, Uint8Array>, after: ReadonlyMap<Keyed, Uint8Array>): string[] {
  const problems: string[] = [];
  for (const of of new Set([...before.keys(), ...after.keys()])) {
    const old = before.get(of),
      young = after.get(of);
    if (old && young && Buffer.compare(old, young) === 0) continue;
    try {
      listener.setMd5(of, young);
    } catch (cause) {
      problems.push(`the key of ${of} cannot be set: ${sentenceOf(cause)}`);
    }
  }
  return problems;
}

const sentenceOf = (cause: unknown): string => (cause instanceof FaultError ? cause.fault.text : cause instanceof Error ? cause.message : String(cause));
