/** The connection to one monitoring station: dialled again whenever it ends, let go when the station does not keep up. */
import { setTimeout as wait } from "node:timers/promises";
import { FaultError } from "#base/fault.ts";
import { note } from "#base/note.ts";
import type { BmpSettings } from "#base/settings.ts";
import type { Clock } from "#ports/clock.ts";
import type { Connection, Net } from "#ports/net.ts";
import type { Telemetry } from "#ports/telemetry.ts";
import { type BmpStation, stationLimitOctets } from "#bgp/monitor/station.ts";
import type { SpeakerObserver } from "#bgp/speaker.ts";
import type { MonitoringView } from "./control.ts";

export const bmpLimits = {
  /** Given to the kernel at most before it says that it has room. */
  pendingOctets: 1024 * 1024,
  /** Between attempts (RFC 7854 §3.2 wants a back-off). */
  leastRetryMillis: 1000,
  mostRetryMillis: 60_000,
  /** A connection that lasted that long was a good one: the next attempt waits the least again. */
  lastingMillis: 60_000,
  /** Octets of one flush: a station must not hold up the sessions. */
  turnOctets: 256 * 1024,
  closeGraceMillis: 1000,
} as const;

export interface BmpLinkParts {
  readonly settings: BmpSettings;
  readonly net: Net;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  /** A new machine for each connection. */
  readonly station: () => BmpStation;
  /** Something is left to be told: `flush` is wanted again. */
  readonly more: () => void;
}

export class BmpLink implements SpeakerObserver {
  readonly #parts: BmpLinkParts;
  #station: BmpStation | undefined;
  #connection: Connection | undefined;
  #reason = "connects for the first time";
  #messages = 0;
  /** The connection is being closed because the station does not keep up. */
  #lagged = false;

  constructor(parts: BmpLinkParts) {
    this.#parts = parts;
  }

  get view(): MonitoringView["bmp"][number] {
    const { name, address, port } = this.#parts.settings,
      station = this.#station;
    return {
      name,
      address,
      port,
      state: station ? "connected" : "waiting",
      reason: station ? null : this.#reason,
      messages: this.#messages + (station?.messages ?? 0),
    };
  }

  /** Until `signal`: connects, serves, waits, again. */
  async run(signal: AbortSignal): Promise<void> {
    let pauseMillis: number = bmpLimits.leastRetryMillis;
    while (!signal.aborted) {
      const before = this.#reason;
      try {
        const { address, port, source } = this.#parts.settings;
        const connection = await this.#parts.net.connect(address, port, source === undefined ? {} : { source }, signal);
        const began = performance.now();
        this.#reason = await this.#serve(connection, signal);
        // One that cannot keep up, or closes at once, must not be told a whole table every second.
        if (performance.now() - began >= bmpLimits.lastingMillis) pauseMillis = bmpLimits.leastRetryMillis;
      } catch (cause) {
        if (signal.aborted) return;
        this.#reason = cause instanceof FaultError ? cause.fault.text : String(cause);
      }
      if (signal.aborted) return;
      this.#note(this.#reason === before ? "debug" : "warn", "bmp.down", `is not connected: ${this.#reason}`);
      await wait(pauseMillis * (0.75 + Math.random() / 4), undefined, { signal }).catch(() => undefined);
      pauseMillis = Math.min(pauseMillis * 2, bmpLimits.mostRetryMillis);
    }
  }

  up(peer: number): void {
    this.#station?.up(peer, micros());
  }
  down: SpeakerObserver["down"] = (peer, end) => this.#station?.down(peer, end, micros());
  received: SpeakerObserver["received"] = (peer, message, fault) => this.#station?.received(peer, message, fault, micros());

  /** Gives the station what there is to say, as far as its connection has room. */
  flush(): void {
    const station = this.#station,
      connection = this.#connection;
    if (!station || !connection) return;
    if (station.isLagging) return this.#letGo(connection);
    const views: Uint8Array[] = [];
    let given = 0;
    while (given < bmpLimits.turnOctets && connection.pending + given < bmpLimits.pendingOctets) {
      const now = { at: micros(), instant: this.#parts.clock.now() };
      const some = station.pull(bmpLimits.turnOctets - given, now, (bytes) => views.push(bytes));
      if (some === 0) break;
      given += some;
    }
    if (given === 0) return;
    connection.write(Buffer.concat(views));
    if (given >= bmpLimits.turnOctets) this.#parts.more();
  }

  /** Serves one connection to its end; answers why it ended. */
  #serve(connection: Connection, signal: AbortSignal): Promise<string> {
    const { promise, resolve } = Promise.withResolvers<string>();
    const station = this.#parts.station(),
      { statisticsSeconds } = this.#parts.settings;
    const timer = setInterval(() => {
      station.statistics(micros());
      this.flush();
    }, statisticsSeconds * 1000);
    const stop = (): void => {
      connection.write(station.terminate("podwayd is stopping, or does not monitor this way any more"));
      connection.end(bmpLimits.closeGraceMillis);
    };
    connection.handlers = {
      bytes: () => {}, // a station says nothing (RFC 7854 §3.2)
      room: () => this.flush(),
      closed: (text) => {
        clearInterval(timer);
        signal.removeEventListener("abort", stop);
        this.#messages += station.messages;
        this.#station = this.#connection = undefined;
        station.close();
        resolve(this.#lagged ? laggedText : text);
        this.#lagged = false;
      },
    };
    this.#station = station;
    this.#connection = connection;
    station.begin(micros());
    this.#note("info", "bmp.up", "is connected");
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
    this.flush();
    return promise;
  }

  #letGo(connection: Connection): void {
    this.#lagged = true;
    connection.destroy();
  }

  #note(level: "debug" | "info" | "warn", event: string, text: string): void {
    const { name, address, port } = this.#parts.settings;
    this.#parts.telemetry.note(note(level, event, `monitoring station ${name} (${address} port ${port}) ${text}`));
  }
}

const laggedText = `it did not read for so long that ${stationLimitOctets >> 20} MiB waited for it; it is told everything anew`;

/** Microseconds since 1970. */
const micros = (): number => Math.round((performance.timeOrigin + performance.now()) * 1000);
