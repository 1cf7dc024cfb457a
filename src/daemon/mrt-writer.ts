/** One folder of MRT files: dumps of the tables now and then, and what peers send as it comes. */
import { setImmediate as turn, setTimeout as wait } from "node:timers/promises";
import { note } from "#base/note.ts";
import type { MrtSettings } from "#base/settings.ts";
import { type MrtFile, MrtFolder } from "#adapters/mrt-folder.ts";
import { type DumpIdentity, TableDump } from "#bgp/monitor/table-dump.ts";
import type { Speaker, SpeakerObserver } from "#bgp/speaker.ts";
import type { Clock } from "#ports/clock.ts";
import type { Telemetry } from "#ports/telemetry.ts";
import type { MonitoringView } from "./control.ts";
import { encodeMrtMessage, encodeMrtStateChange, type MrtSession } from "#wire/mrt.ts";

export const mrtLimits = {
  /** Octets of messages that may wait for the disk; beyond, messages are left out and counted. */
  waitingOctets: 32 * 1024 * 1024,
  /** Octets of one write. */
  writeOctets: 256 * 1024,
  /** Until a file of messages is tried again that could not be made. */
  retryMillis: 10_000,
} as const;

export interface MrtParts {
  readonly settings: MrtSettings;
  readonly node: string;
  readonly identity: DumpIdentity;
  readonly speaker: Speaker;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
}

export class MrtWriter implements SpeakerObserver {
  readonly #parts: MrtParts;
  readonly #folder: MrtFolder;
  #records: Uint8Array[] = [];
  #waitingOctets = 0;
  #wanted: (() => void) | undefined;
  #lastDump: string | null = null;
  #lost = 0;
  #fault: string | null = null;

  constructor(parts: MrtParts) {
    this.#parts = parts;
    const { directory, keep } = parts.settings;
    this.#folder = new MrtFolder(directory, parts.node, keep);
  }

  get view(): MonitoringView["mrt"][number] {
    const { name, directory } = this.#parts.settings;
    return { name, directory, lastDump: this.#lastDump, lost: this.#lost, fault: this.#fault };
  }

  async run(signal: AbortSignal): Promise<void> {
    const { tableSeconds, updates } = this.#parts.settings;
    await this.#attempt(() => this.#folder.prepare());
    await Promise.all([tableSeconds === undefined ? undefined : this.#dumps(tableSeconds * 1000, signal), updates ? this.#log(signal) : undefined]);
  }

  up(peer: number): void {
    this.#state(peer, "OpenConfirm", "Established");
  }
  down: SpeakerObserver["down"] = (peer) => this.#state(peer, "Established", "Idle");
  received: SpeakerObserver["received"] = (peer, { bytes, start, end }) => {
    if (!this.#parts.settings.updates) return;
    const session = this.#sessionOf(peer);
    if (session) this.#push(encodeMrtMessage(session, bytes.subarray(start, end), epochSeconds()));
  };

  #state(peer: number, from: "OpenConfirm" | "Established", to: "Established" | "Idle"): void {
    if (!this.#parts.settings.updates) return;
    const session = this.#sessionOf(peer);
    if (session) this.#push(encodeMrtStateChange(session, from, to, epochSeconds()));
  }

  #sessionOf(peer: number): MrtSession | undefined {
    const terms = this.#parts.speaker.rib.peers.terms[peer];
    if (!terms) return undefined;
    const { remote: address, remoteAs: asn, remoteId: bgpId, local, fourOctetAs } = terms;
    const addPath = terms.addPath?.some(({ receive }) => receive) === true;
    return { peer: { address, asn, bgpId }, localAsn: this.#parts.identity.asn, local, fourOctetAs, addPath };
  }

  #push(record: Uint8Array): void {
    if (this.#waitingOctets + record.length > mrtLimits.waitingOctets) {
      if (this.#lost++ === 0) this.#note("warn", `messages are left out: more than ${mrtLimits.waitingOctets >> 20} MiB wait for the disk`);
      return;
    }
    this.#records.push(record);
    this.#waitingOctets += record.length;
    this.#wanted?.();
  }

  /** One file after the other until the end. */
  async #log(signal: AbortSignal): Promise<void> {
    const periodMillis = this.#parts.settings.rotateSeconds * 1000;
    while (!signal.aborted) {
      const file = await this.#attempt(() => this.#folder.begin("updates", Date.now()));
      const until = AbortSignal.any([signal, AbortSignal.timeout(nextMillis(periodMillis))]);
      if (file) await this.#fill(file, until);
      else await wait(mrtLimits.retryMillis, undefined, { signal: until }).catch(() => undefined);
    }
  }

  async #fill(file: MrtFile, until: AbortSignal): Promise<void> {
    const done = await this.#attempt(async () => {
      until.addEventListener("abort", () => this.#wanted?.(), { once: true });
      for (;;) {
        while (this.#records.length > 0) await file.write(this.#take());
        if (until.aborted) break;
        await new Promise<void>((resolve) => (this.#wanted = resolve));
        this.#wanted = undefined;
      }
      await file.finish();
      return true;
    });
    if (done === undefined) await this.#attempt(() => file.discard());
  }

  /** The oldest records, one write's worth. */
  #take(): Uint8Array {
    let count = 0,
      octets = 0;
    while (count < this.#records.length && octets < mrtLimits.writeOctets) octets += this.#records[count++]!.length;
    this.#waitingOctets -= octets;
    return Buffer.concat(this.#records.splice(0, count));
  }

  async #dumps(periodMillis: number, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await wait(nextMillis(periodMillis), undefined, { signal }).catch(() => undefined);
      if (!signal.aborted) await this.#dump(signal);
    }
  }

  /** One dump, between the turns of the speaker. */
  async #dump(signal: AbortSignal): Promise<void> {
    const { speaker, identity, clock } = this.#parts;
    const file = await this.#attempt(() => this.#folder.begin("rib", Date.now()));
    if (!file) return;
    const done = await this.#attempt(async () => {
      const dump = new TableDump(speaker, identity, epochSeconds(), clock.now());
      let records: Uint8Array[] = [dump.begin()],
        octets = 0;
      while (!dump.isDone && !signal.aborted) {
        dump.step((record) => {
          records.push(record);
          octets += record.length;
        });
        if (octets >= mrtLimits.writeOctets) {
          await file.write(Buffer.concat(records));
          records = [];
          octets = 0;
        }
        await turn();
      }
      if (signal.aborted) return undefined;
      await file.write(Buffer.concat(records));
      await file.finish();
      this.#lastDump = file.name;
      return true;
    });
    if (done === undefined) await this.#attempt(() => file.discard());
  }

  /** What the disk refuses is said once and tried again with the next file; nothing else of the daemon depends on it. */
  async #attempt<T>(work: () => Promise<T>): Promise<T | undefined> {
    try {
      const done = await work();
      this.#fault = null;
      return done;
    } catch (cause) {
      const text = cause instanceof Error ? cause.message : String(cause);
      if (text !== this.#fault) this.#note("error", `cannot be written: ${text}; the next file is tried when its time comes`);
      this.#fault = text;
      return undefined;
    }
  }

  #note(level: "warn" | "error", text: string): void {
    const { name, directory } = this.#parts.settings;
    this.#parts.telemetry.note(note(level, "mrt.fault", `MRT files ${name} (${directory}): ${text}`));
  }
}

const epochSeconds = (): number => Math.floor(Date.now() / 1000);
/** Until the next whole period of the wall clock, so that files of different nodes begin together. */
const nextMillis = (periodMillis: number): number => periodMillis - (Date.now() % periodMillis);
