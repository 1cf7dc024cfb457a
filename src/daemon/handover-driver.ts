/** Drives the handover of sessions (bgp/handover.ts): shows it the facts when they may have changed, and has its answer configured. */
import type { ListenSettings, NodeSettings, PeerSettings } from "#base/settings.ts";
import { Handover } from "#bgp/handover.ts";
import { factsOf } from "#bgp/handover-facts.ts";
import type { Route, Speaker } from "#bgp/speaker.ts";
import type { Clock } from "#ports/clock.ts";
import type { Telemetry } from "#ports/telemetry.ts";

export interface HandoverParts {
  readonly speaker: Speaker;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  /** The sessions are others now. */
  readonly changed: () => void;
}

export class HandoverDriver {
  readonly #parts: HandoverParts;
  readonly #handover = new Handover();
  #reflecting: readonly string[] = [];
  #routes: readonly Route[] | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(parts: HandoverParts) {
    this.#parts = parts;
  }

  get peers(): readonly PeerSettings[] {
    return this.#handover.peers();
  }
  get listen(): ListenSettings | undefined {
    return this.#handover.listen;
  }
  /** What a person should know: who is kept though the document has them no more, or that reflectors are gone. */
  warnings(): readonly string[] {
    const old = [...this.#handover.leaving];
    const kept = `sessions with ${old.join(", ")} are kept until nothing depends on them: the document has others in their place.`;
    const gone = "no reflector is there: this node peers with the other nodes until one is back.";
    return [...(old.length > 0 ? [kept] : []), ...(this.#handover.isFallback ? [gone] : [])];
  }

  follow({ peers, listen, reflection }: NodeSettings): void {
    this.#reflecting = reflection?.reflecting ?? [];
    this.#handover.want({ peers, reflection, listen }, this.#parts.clock.now());
    this.#sleep();
  }

  /** After every turn of the speaker: sessions that came up or went down are facts. */
  turned(): void {
    const routes = this.#parts.speaker.routes();
    if (routes === this.#routes) return;
    this.#routes = routes;
    this.#sleep(0);
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }

  #look(): void {
    const { speaker, clock, telemetry, changed } = this.#parts;
    const isOther = this.#handover.see(factsOf(speaker, this.#handover, this.#reflecting), clock.now());
    for (const note of this.#handover.takeNotes()) telemetry.note(note);
    if (isOther) changed();
    this.#sleep();
  }

  #sleep(millis?: number): void {
    clearTimeout(this.#timer);
    const due = this.#handover.nextLook();
    if (this.#isClosed || (millis === undefined && due === undefined)) return;
    this.#timer = setTimeout(() => this.#look(), millis ?? Math.max(0, due! - this.#parts.clock.now()) + 1).unref();
  }
}
