/**
 * Drives the speaker: TCP and time go in, its actions are executed, and what peers are owed is pulled as their sockets have
 * room. One turn after another on the event loop, each a few milliseconds, so that timers and other sockets are served.
 */
import { FaultError } from "#base/fault.ts";
import type { Ip } from "#base/ip.ts";
import { note } from "#base/note.ts";
import type { PeerSettings, RangeSettings, Secret } from "#base/settings.ts";
import type { Instant } from "#base/time.ts";
import type { Action, ConnectAction } from "#bgp/actions.ts";
import type { Speaker } from "#bgp/speaker.ts";
import type { Clock } from "#ports/clock.ts";
import type { Connection, Net, SocketOptions } from "#ports/net.ts";
import type { Telemetry } from "#ports/telemetry.ts";

export const driveLimits = {
  /** Prefixes decided in one slice. */
  stepPrefixes: 4096,
  /** A turn that took this long lets others have the loop. */
  turnMillis: 4,
  /** A peer is given no more while this much waits in its socket. */
  pendingOctets: 256 * 1024,
  /** … and at most about this much at once. */
  pullOctets: 256 * 1024,
  /** Pieces that together have no more than this are copied into one: it costs less than to hand over each. */
  joinOctets: 4096,
  closeGraceMillis: 3000,
} as const;

export interface PeersParts {
  readonly speaker: Speaker;
  readonly net: Net;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  /** Reads a secret at the moment of use; rejects with a sentence. */
  readonly secret: (secret: Secret) => Promise<Uint8Array>;
  /** Called after a turn in which something was decided. */
  readonly decided: () => void;
}

export class PeersDriver {
  readonly #parts: PeersParts;
  readonly #connections = new Map<number, Connection>();
  readonly #dials = new Map<number, AbortController>();
  #lastConnection = 0;
  #scheduled = false;
  #timer: NodeJS.Timeout | undefined;
  #first = 0; // where the next round of pulls begins
  #configured = false;
  #stopped = false;
  /** Longest turn so far, for `status` and metrics. */
  longestTurnMillis = 0;
  /** … and the most CPU time one took: on a machine with too much to do that says what is ours. */
  longestTurnCpuMillis = 0;

  constructor(parts: PeersParts) {
    this.#parts = parts;
  }

  configure(peers: readonly PeerSettings[], ranges: readonly RangeSettings[]): void {
    this.#parts.speaker.configure(peers, ranges, this.#now());
    this.#configured = true;
    this.wake();
  }

  /** A connection that came in. */
  accepted(connection: Connection): void {
    const id = this.#adopt(connection);
    this.#parts.speaker.accepted(id, connection.local, connection.remote, this.#now());
    this.#act();
    this.wake();
  }

  /** Something may have to be done: a turn will come. None before `configure`: who has no neighbours yet has not heard all they know. */
  wake(): void {
    if (this.#scheduled || this.#stopped || !this.#configured) return;
    this.#scheduled = true;
    setImmediate(() => this.#turn());
  }

  /** BFD finds the path to a neighbour broken: its session ends now and not with the hold timer. */
  bfdDown(address: Ip, text: string): void {
    this.#parts.speaker.bfdDown(address, text, this.#now());
    this.#act();
    this.wake();
  }

  /** An operator's word to the speaker, and what follows from it. */
  operate<T>(say: (speaker: Speaker, now: Instant) => T): T {
    const answer = say(this.#parts.speaker, this.#now());
    this.#act();
    this.wake();
    return answer;
  }

  /** Ends the sessions (product §6.2) and waits until what was said has left. */
  async stop(mode: "restart" | "shutdown", text: string): Promise<void> {
    this.#parts.speaker.stop(mode, text, this.#now());
    this.#act();
    this.#stopped = true;
    clearTimeout(this.#timer);
    for (const dial of this.#dials.values()) dial.abort();
    await Promise.all([...this.#connections.values()].map(closedOf));
  }

  /** Connections go on under another TCP-MD5 key; both ends have the hold time to change it (RFC 2385 §4.5 leaves it to them). */
  rekey(changedKey: (remote: Ip) => Uint8Array | undefined): void {
    for (const connection of this.#connections.values()) {
      const key = changedKey(connection.remote);
      if (!key) continue;
      const of = { fields: { address: connection.remote } };
      try {
        connection.changeMd5(key);
        this.#parts.telemetry.note(note("info", "bgp.rekeyed", `the connection with ${connection.remote} goes on under its new TCP-MD5 key`, of));
      } catch (cause) {
        const why = cause instanceof FaultError ? cause.fault.text : (cause as Error).message;
        this.#parts.telemetry.note(note("warn", "bgp.not-rekeyed", `the connection with ${connection.remote} keeps its old TCP-MD5 key: ${why}`, of));
      }
    }
  }

  /** TCP ports of a connection, for monitoring; 0 if it is gone. */
  portsOf(connection: number): { readonly local: number; readonly remote: number } {
    const found = this.#connections.get(connection);
    return { local: found?.localPort ?? 0, remote: found?.remotePort ?? 0 };
  }

  #now(): Instant {
    return this.#parts.clock.now();
  }

  #turn(): void {
    this.#scheduled = false;
    if (this.#stopped) return;
    const { speaker } = this.#parts,
      began = performance.now(),
      used = process.threadCpuUsage(),
      now = this.#now();
    const due = speaker.nextDeadline();
    if (due !== undefined && due <= now) speaker.wake(now);
    this.#act();
    let more = speaker.step(now, driveLimits.stepPrefixes);
    this.#parts.decided();
    if (this.#pullRound(now, began)) more = true;
    this.#act();
    this.longestTurnMillis = Math.max(this.longestTurnMillis, performance.now() - began);
    const { user, system } = process.threadCpuUsage(used);
    this.longestTurnCpuMillis = Math.max(this.longestTurnCpuMillis, (user + system) / 1000);
    if (more) this.wake();
    else this.#sleep();
  }

  /** Gives each peer that has room what it is owed. True if another round is worth while. */
  #pullRound(now: Instant, began: number): boolean {
    const { speaker } = this.#parts,
      routes = speaker.routes(),
      steps = speaker.rib.steps;
    let progress = false;
    for (let n = 0; n < routes.length; n++) {
      const { peer, connection: id } = routes[(this.#first + n) % routes.length]!,
        connection = this.#connections.get(id);
      if (!connection) continue;
      if (connection.pending >= driveLimits.pendingOctets) {
        speaker.neighbours.sendBlocked(id, now); // RFC 9687: a peer that takes nothing for long enough is let go
        continue;
      }
      if (this.#pull(peer, connection, now)) progress = true;
      if (performance.now() - began < driveLimits.turnMillis) continue;
      this.#first = (this.#first + n + 1) % routes.length;
      return true;
    }
    return progress || speaker.rib.steps !== steps;
  }

  #pull(peer: number, connection: Connection, now: Instant): boolean {
    const views: Uint8Array[] = [];
    const given = this.#parts.speaker.pull(peer, driveLimits.pullOctets, now, (bytes) => views.push(bytes));
    if (given === 0) return false;
    if (views.length > 1 && given <= driveLimits.joinOctets) connection.write(Buffer.concat(views));
    else connection.writeAll(views);
    return true;
  }

  #sleep(): void {
    clearTimeout(this.#timer);
    const due = this.#parts.speaker.nextDeadline();
    if (due === undefined) return;
    this.#timer = setTimeout(() => this.wake(), Math.max(1, Math.ceil(due - this.#now())));
  }

  #act(): void {
    for (const action of this.#parts.speaker.takeActions()) this.#execute(action);
  }

  #execute(action: Action): void {
    switch (action.type) {
      case "connect":
        void this.#dial(action);
        break;
      case "cancelConnect":
        this.#dials.get(action.peer)?.abort();
        this.#dials.delete(action.peer);
        break;
      case "requireTtl":
        this.#connections.get(action.connection)?.requireTtl(action.minTtl);
        break;
      case "write":
        this.#connections.get(action.connection)?.write(action.bytes);
        break;
      case "close":
        this.#close(action.connection, action.how);
        break;
      case "note":
        this.#parts.telemetry.note(action.note);
    }
  }

  #close(id: number, how: "end" | "destroy"): void {
    const connection = this.#connections.get(id);
    if (!connection) return;
    if (how === "end") connection.end(driveLimits.closeGraceMillis);
    else connection.destroy();
  }

  async #dial(action: ConnectAction): Promise<void> {
    const abort = new AbortController(),
      { speaker, net } = this.#parts;
    this.#dials.set(action.peer, abort);
    try {
      const connection = await net.connect(action.address, action.port, await this.#optionsOf(action), abort.signal);
      if (abort.signal.aborted) return connection.destroy();
      this.#dials.delete(action.peer);
      const id = this.#adopt(connection);
      speaker.connected(action.peer, id, connection, this.#now());
    } catch (cause) {
      if (abort.signal.aborted) return;
      this.#dials.delete(action.peer);
      speaker.connectFailed(action.peer, cause instanceof FaultError ? cause.fault.text : String(cause), this.#now());
    }
    this.wake();
  }

  async #optionsOf({ source, ttl, minTtl, md5 }: ConnectAction): Promise<SocketOptions> {
    return {
      ttl,
      ...(source !== undefined && { source }),
      ...(minTtl !== undefined && { minTtl }),
      ...(md5 !== undefined && { md5: await this.#parts.secret(md5) }),
    };
  }

  #adopt(connection: Connection): number {
    const id = ++this.#lastConnection,
      { speaker } = this.#parts;
    this.#connections.set(id, connection);
    connection.handlers = {
      bytes: (buffer, start, end) => {
        speaker.bytes(id, { buffer, start, end }, this.#now());
        this.wake();
      },
      room: () => {
        speaker.neighbours.sendProgressed(id);
        this.wake();
      },
      closed: (text) => {
        this.#connections.delete(id);
        speaker.closed(id, text, this.#now());
        this.wake();
      },
    };
    return id;
  }
}

/** Resolves when the connection has ended; the speaker has heard the last of it already. */
function closedOf(connection: Connection): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  connection.handlers = { bytes: () => {}, room: () => {}, closed: () => resolve() };
  connection.end(driveLimits.closeGraceMillis);
  return promise;
}
