/** A network whose document changes while it runs, every machine following it in its own time. */
import type { Ip } from "#base/ip.ts";
import type { Prefix } from "#base/prefix.ts";
import type { NodeSettings } from "#base/settings.ts";
import { compileNode } from "#config/compile.ts";
import { parseDocument } from "#config/parse.ts";
import { HandoverAgent } from "./handover-agent.ts";
import { Network } from "./network.ts";
import type { SimNode } from "./network-event.ts";

/** Nodes with a prefix each, and two machines that have none. */
export const nodes = ["n1", "n2", "n3", "n4", "n5"] as const;
const machines = [...nodes, "rr1", "rr2"] as const;
type Name = (typeof machines)[number];

/** Who reflects, and who is no longer in the document. */
export interface Shape {
  readonly reflectors: readonly Name[];
  readonly absent?: readonly Name[];
  readonly gracefulRestart: boolean;
  /** `timers.fallback`, in seconds. */
  readonly fallback?: number;
}

const addressOf = (name: Name): Ip => `10.0.0.${machines.indexOf(name) + 1}` as Ip;
const prefixOf = (name: Name): Prefix => `10.42.${machines.indexOf(name) + 1}.0/24` as Prefix;

function settingsOf({ reflectors, absent = [], gracefulRestart, fallback = 20 }: Shape, name: Name): NodeSettings | undefined {
  const present = machines.filter((one) => !absent.includes(one));
  const roleOf = (one: Name): string => (!reflectors.includes(one) ? "[node]" : one.startsWith("rr") ? "[reflector]" : "[node, reflector]");
  const text = [
    "podway: 1",
    "name: moving",
    "store: none",
    "listen: { port: 179 }",
    ...(gracefulRestart ? [] : ["gracefulRestart: off"]),
    `timers: { fallback: ${fallback}s }`,
    "nodes:",
    ...present.map((one) => `  ${one}: { address: ${addressOf(one)}, roles: ${roleOf(one)} }`),
    "",
  ].join("\n");
  const parsed = parseDocument(text, "sim.yaml");
  if (!parsed.ok) throw new Error(`${parsed.fault.text}\n${text}`);
  const settings = compileNode(parsed.value.document, name);
  return settings.ok ? settings.value : undefined;
}

export class MovingNetwork {
  readonly network: Network<HandoverAgent>;
  readonly agents = new Map<Name, SimNode<HandoverAgent>>();
  /** What was without a route at some moment while `isWatched`. */
  readonly lost: string[] = [];
  isWatched = false;
  readonly #settings = new Map<Name, NodeSettings>();

  constructor(seed: number, shape: Shape) {
    this.network = new Network(seed);
    for (const name of machines) {
      const settings = settingsOf(shape, name);
      if (!settings) continue;
      this.#settings.set(name, settings);
      const own = name.startsWith("n") ? prefixOf(name) : undefined;
      const make = (now: number, start: number): HandoverAgent =>
        new HandoverAgent(this.#settings.get(name)!, { jitter: this.network.random, isRestart: start > 0, own }, now as never);
      this.agents.set(name, this.network.add(addressOf(name), true, make));
    }
    this.network.afterEvent = () => this.#watch();
  }

  /** Every machine of the document follows it within `spreadMillis`, in any order. */
  apply(shape: Shape, spreadMillis = 8000): void {
    for (const [name, node] of this.agents) {
      const settings = settingsOf(shape, name);
      if (!settings) continue;
      this.network.later(this.network.random() * spreadMillis, `${name} follows`, () => {
        this.#settings.set(name, settings);
        node.speaker?.follow(settings, this.network.now);
        this.network.poke(node);
      });
    }
  }

  /** True if every node has a route to every other's prefix. */
  get isWhole(): boolean {
    return this.#missing().length === 0;
  }
  /** True if the sessions are those of the document and no others. */
  isSettled(names: readonly Name[] = machines): boolean {
    return names.every((name) => {
      const wanted = this.#settings
          .get(name)!
          .peers.map((peer) => peer.name)
          .toSorted(),
        speaker = this.agents.get(name)?.speaker;
      return speaker !== undefined && !speaker.handover.isFallback && speaker.sessions().join() === wanted.join() && [...speaker.handover.leaving].length === 0;
    });
  }
  kill(name: Name, downMillis: number): void {
    this.network.kill(addressOf(name), downMillis, false);
  }

  #missing(): string[] {
    return nodes.flatMap((name) => {
      const speaker = this.agents.get(name)?.speaker;
      if (!speaker) return [];
      return nodes.flatMap((other) => (speaker.has(prefixOf(other)) ? [] : [`${name} has no route to ${other}`]));
    });
  }
  #watch(): void {
    if (!this.isWatched || this.lost.length > 20) return;
    for (const text of this.#missing()) this.lost.push(`${(this.network.now / 1000).toFixed(3)} s: ${text}`);
  }
}
