/**
 * What an update group tells under ADD-PATH (RFC 7911): (prefix, path identifier) ↔ dense id. Such a group keeps what it told,
 * owes and writes by these ids as others do by those of prefixes, so that told.ts, catch-up.ts, window.ts and pack.ts are the
 * same for both. A hot file; twin: test/bgp/rib-model.ts.
 *
 * Holds: the paths of a prefix are chained in about the order of their rows in the Adj-RIB-In, so that going through both takes
 * one step a path; an id is given again only after `release`.
 */
import { none } from "../rib/adj-rib-in.ts";
import { grown, type PrefixTable } from "../rib/prefixes.ts";

const pathIdOctets = 4;
const noPrefix = 0xffff_ffff;

export class PathTable {
  readonly #prefixes: PrefixTable;
  readonly family: 4 | 6;
  readonly longestNlri: number;
  #prefix = new Uint32Array(256);
  #pathId = new Uint32Array(256);
  #next = new Int32Array(256);
  #round = new Uint32Array(256); // by path: when it was last looked up
  #head = new Int32Array(1024).fill(none); // by prefix
  #end = 0;
  #free: number = none; // chained through `#next`
  // the walk through one prefix that `begin` began
  #at = 0;
  #last: number = none;
  #now = 0;

  constructor(prefixes: PrefixTable) {
    this.#prefixes = prefixes;
    this.family = prefixes.family;
    this.longestNlri = prefixes.longestNlri + pathIdOctets;
  }

  /** One more than the largest id ever given. */
  get end(): number {
    return this.#end;
  }
  get bytes(): number {
    return [this.#prefix, this.#pathId, this.#next, this.#round, this.#head].reduce((sum, column) => sum + column.byteLength, 0);
  }
  isLive(path: number): boolean {
    return this.#prefix[path] !== noPrefix;
  }
  prefixOf(path: number): number {
    return this.#prefix[path]!;
  }
  pathIdOf(path: number): number {
    return this.#pathId[path]!;
  }
  /** The first path of a prefix, or `none`; `after` leads on. */
  firstOf(prefix: number): number {
    return prefix < this.#head.length ? this.#head[prefix]! : none;
  }
  after(path: number): number {
    return this.#next[path]!;
  }

  /** Begins to look up paths of one prefix. */
  begin(prefix: number): void {
    if (prefix >= this.#head.length) this.#growHeads(prefix);
    this.#at = prefix;
    this.#last = none;
    this.#now = (this.#now + 1) >>> 0;
  }

  /** The path with this identifier, made if it is new. */
  take(pathId: number): number {
    const follows = this.#last === none ? this.#head[this.#at]! : this.#next[this.#last]!;
    let path = follows;
    while (path !== none && this.#pathId[path] !== pathId) path = this.#next[path]!;
    if (path === none)
      for (let other = this.#head[this.#at]!; other !== follows && path === none; other = this.#next[other]!) if (this.#pathId[other] === pathId) path = other;
    if (path === none) path = this.#make(pathId);
    this.#round[path] = this.#now;
    this.#last = path;
    return path;
  }

  /** True if the path was looked up since `begin`. */
  isTaken(path: number): boolean {
    return this.#round[path] === this.#now;
  }

  release(path: number): void {
    const prefix = this.#prefix[path]!;
    let before: number = none;
    for (let at = this.#head[prefix]!; at !== path; at = this.#next[at]!) before = at;
    if (before === none) this.#head[prefix] = this.#next[path]!;
    else this.#next[before] = this.#next[path]!;
    this.#prefix[path] = noPrefix;
    this.#next[path] = this.#free;
    this.#free = path;
  }

  /** Writes the NLRI form (RFC 7911 §3) and returns the offset behind it. At most `longestNlri` octets. */
  write(path: number, out: Uint8Array, at: number): number {
    const pathId = this.#pathId[path]!;
    out[at++] = pathId >>> 24;
    out[at++] = (pathId >>> 16) & 255;
    out[at++] = (pathId >>> 8) & 255;
    out[at++] = pathId & 255;
    return this.#prefixes.write(this.#prefix[path]!, out, at);
  }

  /** Behind the path that was looked up last, as its row stands behind that one's. */
  #make(pathId: number): number {
    let path = this.#free;
    if (path !== none) this.#free = this.#next[path]!;
    else path = this.#end++;
    if (path >= this.#prefix.length) this.#growPaths();
    this.#prefix[path] = this.#at;
    this.#pathId[path] = pathId;
    if (this.#last === none) {
      this.#next[path] = this.#head[this.#at]!;
      this.#head[this.#at] = path;
    } else {
      this.#next[path] = this.#next[this.#last]!;
      this.#next[this.#last] = path;
    }
    return path;
  }

  #growPaths(): void {
    const size = this.#prefix.length * 2;
    this.#prefix = grown(this.#prefix, size);
    this.#pathId = grown(this.#pathId, size);
    this.#next = grown(this.#next, size);
    this.#round = grown(this.#round, size);
  }
  #growHeads(prefix: number): void {
    let size = this.#head.length;
    while (size <= prefix) size *= 2;
    const before = this.#head.length;
    this.#head = grown(this.#head, size);
    this.#head.fill(none, before);
  }
}
