/** Seeded sets of paths of one prefix for the decision process: with few values, so that ties are common down to the last step. */
import type { PathAttributes } from "#wire/bgp/attribute.ts";
import { localPeer } from "#bgp/rib/peer-table.ts";
import { sequence, v4Hop } from "./rib-peers.ts";
import type { TwinRole } from "./twins.ts";

/** A path as a peer, by its place among the roles, announces it. */
export interface Arrival {
  readonly peer: number;
  readonly pathId?: number;
  readonly weight?: number;
  readonly attributes: PathAttributes;
}

export const pathIds = [0, 1, 2];

/** Paths of `count` peers at most, each peer with one path or with several. */
export function someArrivals(random: () => number, count: number, roles: readonly TwinRole[]): Arrival[] {
  const pick = <T>(...from: readonly T[]): T => from[Math.floor(random() * from.length)]!;
  const several = random() < 0.5 ? pathIds : [0]; // some peers announce several paths
  const named = roles
    .flatMap((_, peer) => (peer === localPeer ? [0] : several).map((pathId) => ({ peer, pathId })))
    .toSorted(() => random() - 0.5)
    .slice(0, count);
  return named.map(({ peer, pathId }) => {
    const internal = roles[peer] === "client" || roles[peer] === "non-client";
    const attributes: PathAttributes = {
      origin: pick(0, 0, 0, 1),
      asPath: sequence(...pick([], [7], [7], [8], [7, 9], [8, 9])),
      nextHop: v4Hop(pick(0, 1, 2, 3)),
      ...(random() < 0.6 && { med: pick(0, 1, 2) }),
      ...(random() < 0.7 && { localPref: pick(100, 100, 100, 200) }),
      ...(random() < 0.3 && { communities: Uint32Array.of(0xffff0006) }),
      ...(internal && random() < 0.4 && { originatorId: pick(100, 101, 5) }),
      ...(internal && random() < 0.4 && { clusterList: Uint32Array.from(pick([1], [2], [1, 2])) }),
    };
    return { peer, pathId, attributes, weight: random() < 0.1 ? 1 : 0 };
  });
}
/** Ourselves and seven peers. */
export const someRoles = (random: () => number): TwinRole[] => [
  "local",
  ...Array.from({ length: 7 }, () => (["client", "non-client", "external"] as const)[Math.floor(random() * 3)]!),
];
