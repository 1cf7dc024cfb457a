/** Two session layers over the real codec and a simulated network: what any scenario of two neighbours starts from. */
import type { Ip } from "#base/ip.ts";
import type { PeerSettings } from "#base/settings.ts";
import { Neighbours } from "#bgp/neighbours.ts";
import { RecordingSink } from "../bgp/recording-sink.ts";
import { identityOf, peerOf } from "../bgp/settings-of.ts";
import { Network } from "./network.ts";
import type { SimNode } from "./network-event.ts";

export interface Side {
  readonly address: Ip;
  readonly node: SimNode<Neighbours>;
  sink: RecordingSink;
}

export interface WirePair {
  readonly network: Network<Neighbours>;
  readonly a: Side;
  readonly b: Side;
  /** Both are Established, over one and the same connection, with terms that mirror each other. */
  agree(): boolean;
}

export interface PairOptions {
  readonly a?: Partial<PeerSettings>;
  readonly b?: Partial<PeerSettings>;
  readonly ids?: readonly [string, string];
}

export function wirePair(seed: number, options: PairOptions = {}): WirePair {
  const network = new Network<Neighbours>(seed);
  const [a, b] = ["10.0.0.1" as Ip, "10.0.0.2" as Ip];
  const [idA, idB] = options.ids ?? [a, b];
  const side = (address: Ip, id: string, other: PeerSettings): Side => {
    const sinks: RecordingSink[] = [];
    const node = network.add(address, true, (now, start) => {
      const sink = new RecordingSink();
      sinks.push(sink);
      const neighbours = new Neighbours(identityOf(id, { jitter: network.random }), sink);
      neighbours.setRestart({ restarting: start > 0, forwarding: [0, 1] });
      neighbours.configure([other], [], now);
      return neighbours;
    });
    return {
      address,
      node,
      get sink() {
        return sinks.at(-1)!;
      },
    } as Side;
  };
  const pair = { network, a: side(a, idA, peerOf("b", b, options.a)), b: side(b, idB, peerOf("a", a, options.b)) };
  return { ...pair, agree: () => agree(pair.a, pair.b) };
}

function agree(a: Side, b: Side): boolean {
  const [x, y] = [a.sink.terms.get(1), b.sink.terms.get(1)];
  if (!x || !y || !a.node.speaker?.isEstablished(1) || !b.node.speaker?.isEstablished(1)) return false;
  return x.holdSeconds === y.holdSeconds && x.families.join() === y.families.join() && x.local === y.remote && x.remote === y.local;
}
