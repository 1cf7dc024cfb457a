/**
 * BFD as a part of the daemon: a thread that keeps the sessions of the peers that want one (bfd-worker.ts), started with the
 * first of them, and what it says carried to BGP, to the log and to whoever asks.
 */
import { Worker } from "node:worker_threads";
import type { Ip } from "#base/ip.ts";
import { note } from "#base/note.ts";
import type { BfdSettings, NodeSettings } from "#base/settings.ts";
import type { Instant } from "#base/time.ts";
import type { Clock } from "#ports/clock.ts";
import type { Telemetry } from "#ports/telemetry.ts";
import { limits } from "#config/limits.ts";
import type { BfdPeer, BfdSessionInfo } from "#bfd/sessions.ts";
import type { BfdNews, BfdOrder } from "./bfd-worker.ts";
import type { BfdView } from "./control.ts";
import type { Task } from "./tasks.ts";

export interface BfdParts {
  readonly settings: NodeSettings;
  readonly telemetry: Telemetry;
  readonly clock: Clock;
  /** The path to this neighbour is broken; `text` is a sentence without subject. */
  readonly failed: (address: Ip, text: string) => void;
}

export interface Bfd extends Task {
  follow(settings: NodeSettings): void;
  /** A neighbour out of a range is up: its path is watched until `unwatch`, if its range says so (RFC 5882 §2: the client decides). */
  watch(neighbour: DynamicNeighbour): void;
  unwatch(address: Ip): void;
  /** The session with the peer of this address; null if none is configured. */
  view(address: Ip, now: Instant): BfdView | null;
}

export interface DynamicNeighbour {
  readonly name: string;
  readonly address: Ip;
  /** Our side of its session. */
  readonly local: Ip;
  readonly bfd: BfdSettings;
}

/** Neighbours that come in one burst become one order to the thread. */
const gatherMillis = 50;
/** A thread that ended by itself is started again after this. */
const restartMillis = 1000;
/** A small young generation means short pauses; a thousand sessions need a tenth of the rest. */
const heap = { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 64 } as const;
/** It is given so long to say goodbye to the peers. */
const stopMillis = 1000;

export function createBfd(parts: BfdParts): Bfd {
  const thread = new Thread(parts);
  parts.telemetry.gauge("podway_bfd_sessions", "BFD sessions by state.", () => thread.countStates());
  parts.telemetry.gauge("podway_bfd_packets_refused", "BFD packets refused, by why.", () => thread.countRefused());
  parts.telemetry.gauge(
    "podway_bfd_longest_wait_seconds",
    "The longest time news of a BFD session waited to be acted upon.",
    () => thread.longestWaitMillis / 1000,
  );
  return {
    name: "bfd",
    follow: (settings) => thread.follow(settings),
    watch: (neighbour) => thread.watch(neighbour),
    unwatch: (address) => thread.unwatch(address),
    view: (address, now) => thread.view(address, now),
    async run(signal, ready) {
      thread.start();
      ready();
      await new Promise<void>((resolve) => (signal.aborted ? resolve() : signal.addEventListener("abort", () => resolve(), { once: true })));
      await thread.stop("podwayd is stopping");
    },
  };
}

class Thread {
  readonly #parts: BfdParts;
  #peers: readonly BfdPeer[];
  #names: ReadonlyMap<Ip, string>;
  readonly #dynamic = new Map<Ip, DynamicNeighbour>();
  #gathering: NodeJS.Timeout | undefined;
  #worker: Worker | undefined;
  #restart: NodeJS.Timeout | undefined;
  #running = false;
  #sessions: ReadonlyMap<Ip, BfdSessionInfo> = new Map();
  #refused: Readonly<Record<string, number>> = {};
  /** News that waited longest for the loop of this thread. */
  longestWaitMillis = 0;

  constructor(parts: BfdParts) {
    this.#parts = parts;
    this.#peers = peersOf(parts.settings);
    this.#names = namesOf(parts.settings);
  }

  watch(neighbour: DynamicNeighbour): void {
    const { address, name } = neighbour;
    if (!this.#dynamic.has(address) && this.#peers.length + this.#dynamic.size >= limits.bfdPeers) {
      const text = `${name}: its path is not watched by BFD, ${limits.bfdPeers} others are already`;
      this.#parts.telemetry.note(note("warn", "bfd.too-many", text, { peer: name }));
      return;
    }
    this.#dynamic.set(address, neighbour);
    this.#gather();
  }
  unwatch(address: Ip): void {
    if (this.#dynamic.delete(address)) this.#gather();
  }
  #gather(): void {
    this.#gathering ??= setTimeout(() => {
      this.#gathering = undefined;
      this.#configure();
    }, gatherMillis);
  }

  start(): void {
    this.#running = true;
    this.#configure();
  }

  follow(settings: NodeSettings): void {
    this.#peers = peersOf(settings);
    this.#names = namesOf(settings);
    this.#configure();
  }

  async stop(reason: string): Promise<void> {
    this.#running = false;
    clearTimeout(this.#restart);
    clearTimeout(this.#gathering);
    const worker = this.#worker;
    if (!worker) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const late = setTimeout(resolve, stopMillis);
    worker.once("exit", () => resolve());
    this.#order({ type: "stop", reason });
    await promise;
    clearTimeout(late);
    await worker.terminate();
  }

  view(address: Ip, now: Instant): BfdView | null {
    const peer = this.#peers.find(({ remote }) => remote === address) ?? this.#dynamic.get(address)?.bfd;
    if (!peer) return null;
    const info = this.#sessions.get(address);
    if (!info) return { ...nothingYet, multihop: peer.multihop };
    const { remote: _, since, ...facts } = info;
    return { ...facts, sinceSeconds: Math.max(0, Math.round((now - since) / 1000)) };
  }

  countStates(): readonly { readonly labels: { readonly state: string }; readonly value: number }[] {
    const states = [...this.#sessions.values()].map(({ state }) => state);
    return (["AdminDown", "Down", "Init", "Up"] as const).map((state) => ({ labels: { state }, value: states.filter((one) => one === state).length }));
  }

  countRefused(): readonly { readonly labels: { readonly reason: string }; readonly value: number }[] {
    return Object.entries(this.#refused).map(([reason, value]) => ({ labels: { reason }, value }));
  }

  #configure(): void {
    if (!this.#running) return;
    const peers = [...this.#peers, ...Array.from(this.#dynamic.values(), dynamicPeer)];
    if (!this.#worker && peers.length > 0) this.#worker = this.#spawn();
    this.#order({ type: "configure", peers });
  }

  #order(order: BfdOrder): void {
    this.#worker?.postMessage(order);
  }

  #spawn(): Worker {
    const worker = new Worker(new URL("./bfd-worker.ts", import.meta.url), { resourceLimits: heap });
    let why = "without saying why";
    worker.on("message", (news: BfdNews) => this.#hear(news));
    worker.on("error", (cause) => (why = `because of a fault of ours, please report: ${String(cause)}`));
    worker.once("exit", () => this.#ended(why));
    return worker;
  }

  #ended(why: string): void {
    this.#worker = undefined;
    this.#sessions = new Map();
    if (!this.#running) return;
    this.#parts.telemetry.note(note("error", "bfd.thread-ended", `the thread of BFD ended ${why}; it is started again, and no BGP session ends for it here`));
    this.#restart = setTimeout(() => this.#configure(), restartMillis);
  }

  #hear(news: BfdNews): void {
    switch (news.type) {
      case "started":
        this.#parts.telemetry.note(note("info", "bfd.started", `BFD runs in a thread of its own, ${priorities[news.priority]}`));
        break;
      case "status":
        this.#sessions = new Map(news.sessions.map((session) => [session.remote, session]));
        this.#refused = news.refused;
        break;
      case "fault":
        this.#parts.telemetry.note(note("error", "bfd.fault", news.text));
        break;
      case "changed":
        this.#changed(news);
    }
  }

  #changed({ peer, change, at }: BfdNews & { readonly type: "changed" }): void {
    this.longestWaitMillis = Math.max(this.longestWaitMillis, this.#parts.clock.now() - at);
    const { from, to, reason, isFailure } = change,
      name = this.#names.get(peer.remote) ?? this.#dynamic.get(peer.remote)?.name ?? peer.remote;
    const level = isFailure ? "warn" : from === "Up" || to === "Up" ? "info" : "debug";
    this.#parts.telemetry.note(note(level, `bfd.${to.toLowerCase()}`, `${name}: BFD session went from ${from} to ${to}: ${reason}`, { peer: name }));
    if (isFailure) this.#parts.failed(peer.remote, reason);
  }
}

const nothingYet = {
  state: "Down",
  reason: "the session is being made",
  sinceSeconds: 0,
  transmitMillis: null,
  detectionMillis: null,
  packetsIn: 0,
  packetsOut: 0,
  packetsRefused: 0,
} as const;

const priorities = {
  "real-time": "with real-time priority",
  raised: "with raised priority",
  usual: "with no priority over others: on a machine whose cores are all in use its packets may be late (LimitRTPRIO=1 permits it)",
} as const;

const namesOf = (settings: NodeSettings): ReadonlyMap<Ip, string> => new Map(settings.peers.map((peer) => [peer.address, peer.name]));

function dynamicPeer({ address, local, bfd }: DynamicNeighbour): BfdPeer {
  const { intervalMillis, ...terms } = bfd;
  return { remote: address, source: local, intervalMicros: intervalMillis * 1000, ...terms };
}

function peersOf(settings: NodeSettings): readonly BfdPeer[] {
  return settings.peers.flatMap(({ address, source, bfd }) => {
    if (!bfd) return [];
    const { intervalMillis, ...terms } = bfd;
    return [{ remote: address, source, intervalMicros: intervalMillis * 1000, ...terms }];
  });
}
