/**
 * What a session with an external neighbour does to its routes around the import policy: before it roles (RFC 9234 §5), after it
 * graceful shutdown (RFC 8326 §4), so that no policy prefers what is about to go.
 */
import type { AsRole, SessionSettings } from "#base/settings.ts";
import type { PathAttributes } from "#wire/bgp/attribute.ts";
import type { AttributeTable } from "./attributes.ts";
import { flagGracefulShutdown, flagOnlyToCustomer } from "./scan.ts";
import { SetMemo } from "./set-memo.ts";

/** As a value, so that neighbours alike in it share what was rewritten. */
export interface ImportEdge {
  readonly asRole: AsRole | undefined;
  /** The neighbour's AS, where its role makes it count. */
  readonly remoteAs: number | undefined;
  /** We are about to shut the session down: its routes are the last to use. */
  readonly shutdown: boolean;
  /** What carries GRACEFUL_SHUTDOWN is the last to use: from outside; inside the AS LOCAL_PREF says so already. */
  readonly heedsShutdown: boolean;
}

export const noEdge: ImportEdge = { asRole: undefined, remoteAs: undefined, shutdown: false, heedsShutdown: true };

export function importEdge(session: SessionSettings): ImportEdge {
  const { asRole, remoteAs } = session;
  if (session.role !== "external") return { ...noEdge, heedsShutdown: false };
  return { asRole, remoteAs: asRole && remoteAs, shutdown: session.gracefulShutdown === true, heedsShutdown: true };
}

export class EdgeFilter {
  readonly #edge: ImportEdge;
  readonly #attributes: AttributeTable;
  readonly #marked: SetMemo;
  readonly #last: SetMemo;

  constructor(edge: ImportEdge, attributes: AttributeTable) {
    this.#edge = edge;
    this.#attributes = attributes;
    this.#marked = new SetMemo(attributes, (values) => ({ ...values, otc: edge.remoteAs! }));
    this.#last = new SetMemo(attributes, (values): PathAttributes => ({ ...values, localPref: 0 }));
  }

  /** The set as the policy sees it: with ONLY_TO_CUSTOMER where the route came from above or beside; 0 for a route leak. */
  before(set: number): number {
    const { asRole, remoteAs } = this.#edge;
    if (asRole === undefined) return set;
    const isMarked = (this.#attributes.flags[set]! & flagOnlyToCustomer) !== 0;
    switch (asRole) {
      case "provider":
      case "rs":
        return isMarked ? 0 : set;
      case "peer":
        if (isMarked) return this.#attributes.decode(set).otc === remoteAs ? set : 0;
        return this.#marked.of(set);
      case "customer":
      case "rs-client":
        return isMarked ? set : this.#marked.of(set);
    }
  }

  /** The set to keep of what the policy accepted. */
  after(set: number): number {
    if (set === 0) return 0;
    const { shutdown, heedsShutdown } = this.#edge;
    return shutdown || (heedsShutdown && this.#attributes.flags[set]! & flagGracefulShutdown) ? this.#last.of(set) : set;
  }

  close(): void {
    this.#marked.close();
    this.#last.close();
  }
}
