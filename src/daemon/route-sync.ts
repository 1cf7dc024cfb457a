/**
 * Whether BGP has told this node all it will tell for now: only then may kernel routes that nobody wants be swept. While no
 * internal peer has come up and sent its End-of-RIB we know nothing, and what the kernel has stays (product §4, promise 1).
 */
import type { Instant } from "#base/time.ts";
import type { Speaker } from "#bgp/speaker.ts";

/** After the first complete peer, others that are on their way get this long. */
const quietMillis = 3000;

export class RouteSync {
  readonly #speaker: Speaker;
  #firstAt: Instant | undefined;
  #isInSync = false;

  constructor(speaker: Speaker) {
    this.#speaker = speaker;
  }

  /** Once in sync it stays so: what is withdrawn later is withdrawn by BGP itself. */
  isInSync(now: Instant): boolean {
    if (this.#isInSync) return true;
    if (this.#speaker.rib.deferral.isDeferring(now)) return false;
    const peers = this.#speaker.neighbours.info().filter((peer) => !peer.dynamic);
    if (peers.length === 0) return (this.#isInSync = true);
    const complete = peers.filter((peer) => this.#speaker.rib.hasToldAll(peer.id));
    if (complete.length === peers.length) return (this.#isInSync = true);
    const internal = peers.filter((peer) => peer.role !== "external");
    const isKnown = internal.length === 0 ? complete.length > 0 : internal.some((peer) => complete.includes(peer));
    if (!isKnown) {
      this.#firstAt = undefined; // who was complete has gone again: the wait begins anew with the next
      return false;
    }
    this.#firstAt ??= now;
    return (this.#isInSync = now >= this.#firstAt + quietMillis); // the very sum of nextDeadline, to be due when it says
  }
  /** When to ask again if nothing happens. */
  nextDeadline(): Instant | undefined {
    return this.#isInSync || this.#firstAt === undefined ? undefined : ((this.#firstAt + quietMillis) as Instant);
  }
}
