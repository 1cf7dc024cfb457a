/** Reflectors and nodes, whole speakers, on a simulated network: every node dials every reflector, reflectors each other. */
import { type Ip, ip4Number } from "#base/ip.ts";
import type { Prefix } from "#base/prefix.ts";
import type { Instant } from "#base/time.ts";
import type { Action } from "#bgp/actions.ts";
import { none } from "#bgp/rib/adj-rib-in.ts";
import { Speaker } from "#bgp/speaker.ts";
import { peerOf, rangeOf } from "../bgp/settings-of.ts";
import { Network } from "./network.ts";
import type { SimNode, SimSpeaker } from "./network-event.ts";

const pullRoom = 65_536, stepBudget = 4096, deferralMillis = 30_000;

/** A speaker as floor 4 drives it: after every event it decides until there is nothing to decide, then gives what it owes. */
export class SimRouter implements SimSpeaker {
  readonly speaker: Speaker;
  #now: Instant;

  constructor(speaker: Speaker, now: Instant) {
    this.speaker = speaker;
    this.#now = now;
  }

  accepted(connection: number, local: Ip, remote: Ip, now: Instant): void {
    this.speaker.accepted(connection, local, remote, (this.#now = now));
  }
  connected(peer: number, connection: number, local: Ip, remote: Ip, now: Instant): void {
    this.speaker.connected(peer, connection, { local, remote }, (this.#now = now));
  }
  connectFailed(peer: number, text: string, now: Instant): void {
    this.speaker.connectFailed(peer, text, (this.#now = now));
  }
  bytes(connection: number, buffer: Uint8Array, start: number, end: number, now: Instant): void {
    this.speaker.bytes(connection, { buffer, start, end }, (this.#now = now));
  }
  closed(connection: number, text: string, now: Instant): void {
    this.speaker.closed(connection, text, (this.#now = now));
  }
  wake(now: Instant): void {
    this.speaker.wake((this.#now = now));
  }
  nextDeadline(): Instant | undefined {
    return this.speaker.nextDeadline();
  }
  takeActions(): readonly Action[] {
    this.#decide();
    return this.speaker.takeActions();
  }
  pull(connection: number, now: Instant): Uint8Array | undefined {
    this.#now = now;
    this.#decide();
    const route = this.speaker.routes().find((one) => one.connection === connection);
    const owed: Uint8Array[] = [];
    if (route) this.speaker.pull(route.peer, pullRoom, now, (bytes) => owed.push(bytes.slice()));
    return owed.length > 0 ? Buffer.concat(owed) : undefined;
  }

  /** Prefixes with a chosen path, in order. */
  chosen(): string[] {
    return this.speaker.rib.ribs.flatMap((rib) => {
      const ids = Array.from({ length: rib.prefixes.end }, (_, id) => id);
      return ids.filter((id) => rib.prefixes.isLive(id) && rib.bestOf(id) !== none).map((id) => rib.prefixes.text(id));
    }).toSorted();
  }

  #decide(): void {
    while (this.speaker.step(this.#now, stepBudget));
  }
}

export interface Cluster {
  readonly network: Network<SimRouter>;
  readonly reflectors: readonly SimNode<SimRouter>[];
  readonly nodes: readonly SimNode<SimRouter>[];
  /** What each node announces: outlives its process, as leases do. */
  announce(node: SimNode<SimRouter>, prefix: string): void;
  withdraw(node: SimNode<SimRouter>, prefix: string): void;
  /** Everything announced by anybody. */
  announced(): string[];
}

export function cluster(seed: number, size: { readonly reflectors: number; readonly nodes: number }): Cluster {
  const network = new Network<SimRouter>(seed);
  const reflectorIp = (i: number): Ip => `10.0.0.${i + 1}` as Ip;
  const reflectorIps = Array.from({ length: size.reflectors }, (_, i) => reflectorIp(i));
  const owned = new Map<Ip, Set<Prefix>>();

  const add = (address: Ip, isReflector: boolean): SimNode<SimRouter> => {
    owned.set(address, new Set());
    return network.add(address, isReflector, (now, start) => {
      const id = ip4Number(address);
      const speaker = new Speaker({ asn: 64_512, routerId: id, clusterId: id, jitter: network.random, address, address6: undefined, policies: {}, observes: false });
      const peers = reflectorIps.filter((ip) => ip !== address).map((ip) => peerOf(`rr-${ip}`, ip, { role: "non-client" }));
      speaker.configure(peers, isReflector ? [rangeOf("nodes", "10.0.0.0/16")] : [], now);
      speaker.neighbours.setRestart({ restarting: false, forwarding: [0, 1] });
      if (start > 0) speaker.beginRestart({ restarting: true, forwarding: [0, 1] }, isReflector, deferralMillis, now);
      for (const prefix of owned.get(address)!) speaker.originate(prefix);
      return new SimRouter(speaker, now);
    });
  };
  const reflectors = reflectorIps.map((ip) => add(ip, true));
  const nodes = Array.from({ length: size.nodes }, (_, i) => add(`10.0.${1 + (i >> 8)}.${i & 255}` as Ip, false));

  const change = (node: SimNode<SimRouter>, prefix: string, isThere: boolean): void => {
    const own = owned.get(node.address)!;
    if (isThere) own.add(prefix as Prefix);
    else own.delete(prefix as Prefix);
    if (isThere) node.speaker?.speaker.originate(prefix as Prefix);
    else node.speaker?.speaker.withdrawOwn(prefix as Prefix);
    network.poke(node);
  };
  return {
    network,
    reflectors,
    nodes,
    announce: (node, prefix) => change(node, prefix, true),
    withdraw: (node, prefix) => change(node, prefix, false),
    announced: () => [...new Set([...owned.values()].flatMap((own) => [...own]))].toSorted(),
  };
}
