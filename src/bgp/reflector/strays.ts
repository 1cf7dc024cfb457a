/**
 * What a peer was told by an update group it has left, without a new session and without the marks of a refresh (RFC 7313): what
 * its new group does not tell must be withdrawn one by one, once everything else has been told.
 *
 * Holds: the prefixes in it stay live until `close`: the group that has it answers for them in `holds`.
 */
import { none } from "../rib/adj-rib-in.ts";
import type { PrefixTable } from "../rib/prefixes.ts";
import { PrefixQueue } from "../rib/queue.ts";
import { maxMessageLength } from "#wire/bgp/constants.ts";
import { writeWithdraw } from "./pack.ts";
import { PathTable } from "./path-table.ts";

export class Strays {
  readonly #prefixes: PrefixTable;
  /** In a group that tells several paths of a prefix (RFC 7911): its own, as the other group's goes with that. */
  readonly #paths: PathTable | undefined;
  readonly #known = new PrefixQueue();

  constructor(prefixes: PrefixTable, tellsPaths: boolean) {
    this.#prefixes = prefixes;
    this.#paths = tellsPaths ? new PathTable(prefixes) : undefined;
  }

  /** `pathId`: in a group that tells paths. */
  add(prefix: number, pathId: number): void {
    if (!this.#paths) {
      this.#known.push(prefix);
      return;
    }
    this.#paths.begin(prefix);
    this.#known.push(this.#paths.take(pathId));
  }
  has(prefix: number): boolean {
    return this.#paths ? this.#paths.firstOf(prefix) !== none : this.#known.has(prefix);
  }

  /** Messages that withdraw what is in it and not told now; `isTold` is asked about each. */
  withdraw(isTold: (prefix: number, pathId: number) => boolean, give: (bytes: Uint8Array) => void): void {
    const paths = this.#paths,
      gone: number[] = [];
    for (let left = this.#known.size; left > 0; left--) {
      const id = this.#known.shift();
      this.#known.push(id);
      if (!isTold(paths ? paths.prefixOf(id) : id, paths ? paths.pathIdOf(id) : 0)) gone.push(id);
    }
    const next = Int32Array.from(gone, (_, i) => (i + 1 < gone.length ? i + 1 : none)),
      chain = { prefixes: Uint32Array.from(gone), next },
      out = new Uint8Array(maxMessageLength);
    for (let place: number = gone.length === 0 ? none : 0; place !== none;) {
      const [end, rest] = writeWithdraw(paths ?? this.#prefixes, chain, place, out, 0, out.length);
      give(out.slice(0, end));
      place = rest;
    }
  }

  /** `forget` is told of each prefix, after nothing holds it here. */
  close(forget: (prefix: number) => void): void {
    while (this.#known.size > 0) {
      const id = this.#known.shift();
      const prefix = this.#paths ? this.#paths.prefixOf(id) : id;
      this.#paths?.release(id);
      forget(prefix);
    }
  }
}
