/** A sink that writes down what the session layer tells it, and refuses a story that makes no sense. */
import { assert } from "#base/assert.ts";
import type { FamilyIndex, NotificationFault, SessionEnd, SessionSink, SessionTerms } from "#bgp/terms.ts";

export class RecordingSink implements SessionSink {
  readonly log: string[] = [];
  readonly terms = new Map<number, SessionTerms>();
  readonly ends: SessionEnd[] = [];
  readonly updates: Uint8Array[] = [];
  /** Where the octets of the last UPDATE stood. */
  lastBuffer: Uint8Array | undefined;
  /** Peers of which something is still held. */
  readonly remembered = new Set<number>();
  answer: (bytes: Uint8Array) => NotificationFault | undefined = () => undefined;

  up(peer: number, terms: SessionTerms): void {
    assert(!this.terms.has(peer), `peer ${peer} comes up once before it goes down`);
    this.terms.set(peer, terms);
    this.log.push(`up ${peer}`);
  }
  down(peer: number, end: SessionEnd): void {
    assert(this.terms.delete(peer), `peer ${peer} was up before it went down`);
    this.ends.push(end);
    this.log.push(`down ${peer}${end.retain ? " retain" : ""}`);
  }
  update(peer: number, bytes: Uint8Array, start: number, end: number): NotificationFault | undefined {
    assert(this.terms.has(peer), `peer ${peer} is up when an UPDATE comes`);
    this.lastBuffer = bytes;
    const body = bytes.slice(start, end);
    this.updates.push(body);
    return this.answer(body);
  }
  refresh(peer: number, family: FamilyIndex, subtype: number): void {
    this.log.push(`refresh ${peer} ${family} ${subtype}`);
  }
  isForgotten(peer: number): boolean {
    return !this.remembered.has(peer);
  }
}
