/** What is done to the UPDATEs of each peer before they are believed: its import policies, what is tolerated, and what an operator wants of its attributes. */
import type { SessionSettings } from "#base/settings.ts";
import type { PolicyParts } from "../policy/compiled-policies.ts";
import type { PolicyBook } from "../policy/policy-book.ts";
import type { SessionTerms } from "../terms.ts";
import { importEdge } from "./import-edge.ts";
import { ImportFilters } from "./import-filters.ts";
import type { Treatments } from "./ingest.ts";
import { type Tolerance, toleranceOf } from "./tolerance.ts";

const noTreatments: Treatments = new Map();

export class ImportRules {
  readonly filters: ImportFilters;
  readonly tolerances = new Map<number, Tolerance>();
  readonly treatments = new Map<number, Treatments>();

  constructor(policies: PolicyBook, parts: PolicyParts) {
    this.filters = new ImportFilters(policies, parts);
  }

  /** Takes over a session's settings; true if what the peer sent before would be judged otherwise. */
  use(peer: number, terms: SessionTerms, session: SessionSettings): boolean {
    const isJudgedAnew = this.#useFilter(peer, terms, session),
      isTreatedAnew = this.#useTreatments(peer, session);
    return isJudgedAnew || isTreatedAnew;
  }

  /** The session ended. */
  forget(peer: number): void {
    this.filters.use(peer, undefined);
    this.tolerances.delete(peer);
    this.treatments.delete(peer);
  }

  #useFilter(peer: number, terms: SessionTerms, session: SessionSettings): boolean {
    const names = terms.role === "external" || session.import.length > 0 ? session.import : undefined;
    const tolerance = toleranceOf(session),
      before = this.tolerances.get(peer);
    if (tolerance) this.tolerances.set(peer, tolerance);
    else this.tolerances.delete(peer);
    const isOther = before?.ownAs !== tolerance?.ownAs || before?.anyFirstAs !== tolerance?.anyFirstAs;
    return this.filters.use(peer, names, importEdge(session)) || isOther;
  }

  #useTreatments(peer: number, { attributes = [] }: SessionSettings): boolean {
    const before = this.treatments.get(peer) ?? noTreatments,
      next = new Map(attributes.map(({ type, treatment }) => [type, treatment]));
    if (next.size > 0) this.treatments.set(peer, next);
    else this.treatments.delete(peer);
    return before.size !== next.size || [...next].some(([type, treatment]) => before.get(type) !== treatment);
  }
}
