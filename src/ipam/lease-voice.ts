/** What a lease machine says of itself: its state for everybody, and notes for people, each thing once. */
import type { LeaseState } from "#base/lease.ts";
import { note } from "#base/note.ts";
import type { LeaseOutput, LeaseTerms, OwnLease } from "./lease-terms.ts";

/** What of the state is not in the words. */
export type Holding = Pick<OwnLease, "cidr" | "confirmedAt" | "endsAt" | "fence">;

export const holdingNothing: Holding = { cidr: undefined, confirmedAt: undefined, endsAt: undefined, fence: undefined };
const levels = { asking: "debug", held: "info", lost: "error", wanted: "warn", doubtful: "warn" } as const;

export class LeaseVoice {
  readonly #out: LeaseOutput[];
  #own: OwnLease;
  #told = "";
  #lostWhy = "";

  /** Starts in silence: the first state is there to be asked for. */
  constructor(out: LeaseOutput[], first: OwnLease) {
    this.#out = out;
    this.#own = first;
  }

  get own(): OwnLease {
    return this.#own;
  }

  say(state: LeaseState, reason: string, holding: Holding, { pool, holder }: LeaseTerms): void {
    const before = this.#own;
    if (state === "lost" && before.state !== "lost") this.#lostWhy = reason;
    this.#own = { pool: pool.name, state, reason, ...holding };
    if (before.state === state && before.reason === reason && before.cidr === holding.cidr) return;
    this.#out.push({ kind: "own", own: this.#own });
    // Trying again and again is told once.
    const isNews = state === "wanted" || state === "asking" ? reason !== this.#told : state !== before.state;
    if (!isNews) return;
    if (state !== "asking") this.#told = reason;
    const prefix = holding.cidr ?? before.cidr;
    const text = `pool ${pool.name}: ${prefix === undefined ? "" : `${prefix} `}${state}; ${reason}`;
    this.#out.push({
      kind: "note",
      note: note(levels[state], `lease.${state}`, text, { pool: pool.name, node: holder.node, ...(prefix !== undefined && { prefix }) }),
    });
  }

  /** A node that let go says lost until it has a CIDR again. */
  sayWithout(state: "wanted" | "asking", reason: string, terms: LeaseTerms): void {
    if (this.#own.state === "lost") this.say("lost", `${this.#lostWhy}; ${reason}`, holdingNothing, terms);
    else this.say(state, reason, holdingNothing, terms);
  }

  /** The store was restored: our claim is put back over an older one. */
  tellConflict(text: string, { pool, holder }: LeaseTerms): void {
    if (text === this.#told) return;
    this.#told = text;
    this.#out.push({ kind: "note", note: note("warn", "lease.conflict", text, { pool: pool.name, node: holder.node }) });
  }
}
