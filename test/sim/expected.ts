/**
 * What a peer should have been told, worked out from the Loc-RIB by the rules as they stand in RFC 4271 §9.1.3, §5.1 and
 * RFC 4456 §6, §8: slow, obvious, and without a line of reflector/.
 */
import { type Ip, ipBytes } from "#base/ip.ts";
import { type Prefix, contains, prefixFamily } from "#base/prefix.ts";
import type { PolicySettings } from "#base/policy-settings.ts";
import type { NodeSettings, PeerRole } from "#base/settings.ts";
import { none } from "#bgp/rib/adj-rib-in.ts";
import { localPeer } from "#bgp/rib/peer-table.ts";
import type { Speaker } from "#bgp/speaker.ts";
import type { FamilyIndex, SessionTerms } from "#bgp/terms.ts";
import { prependAs } from "#wire/bgp/as-path.ts";
import { wellKnownCommunity } from "#wire/bgp/community.ts";
import type { PathAttributes } from "#wire/bgp/attribute.ts";
import { routeText } from "./tap.ts";

/** A speaker and what it was set up with. */
export interface Teller {
  readonly speaker: Speaker;
  readonly machine: { readonly name: string; readonly settings: Pick<NodeSettings, "asn" | "address" | "address6" | "routerId" | "clusterId" | "policies"> };
}

/** The chosen route of a prefix, as values. */
export interface Chosen {
  readonly prefix: Prefix;
  /** Peer id; 0 is ourselves. */
  readonly source: number;
  readonly values: PathAttributes;
  readonly nextHop: Uint8Array;
}

/** An attribute set as values; decoded once, since sets live long and are asked for often. */
export interface Decoded {
  readonly values: PathAttributes;
  readonly nextHop: Uint8Array;
  readonly text: string;
}
const decoded = new WeakMap<Teller, Map<number, Decoded & { readonly generation: number }>>();

export function decodedSet(agent: Teller, set: number): Decoded {
  const { attributes } = agent.speaker.rib,
    generation = attributes.generation[set]!;
  let known = decoded.get(agent);
  if (!known) decoded.set(agent, (known = new Map()));
  const found = known.get(set);
  if (found?.generation === generation) return found;
  const values = attributes.decode(set),
    nextHop = attributes.nextHopOf(set),
    made = { generation, values, nextHop, text: routeText(values, nextHop) };
  known.set(set, made);
  return made;
}

export function chosenRoutes(agent: Teller, family: FamilyIndex): readonly Chosen[] {
  const { rib } = agent.speaker;
  const { prefixes, adjRibIn } = rib.ribs[family],
    out: Chosen[] = [];
  for (let id = 0; id < prefixes.end; id++) {
    const path = prefixes.isLive(id) ? rib.ribs[family].bestOf(id) : none;
    if (path === none) continue;
    const { values, nextHop } = decodedSet(agent, adjRibIn.attributes[path]!);
    out.push({ prefix: prefixes.text(id), source: adjRibIn.peer[path]!, values, nextHop });
  }
  return out;
}

/** Prefix → the route in words, for one peer whose session is up. */
export function expectedTold(agent: Teller, peer: number, terms: SessionTerms): Map<Prefix, string> {
  const out = new Map<Prefix, string>();
  for (const family of terms.families)
    for (const route of chosenRoutes(agent, family)) {
      const text = mayLeave(agent, peer, terms, route) ? routeFor(agent, peer, terms.role, route) : undefined;
      if (text !== undefined) out.set(route.prefix, text);
    }
  return out;
}

function routeFor(agent: Teller, peer: number, to: PeerRole, { prefix, source, values, nextHop }: Chosen): string | undefined {
  if (source === peer) return undefined;
  const { neighbours } = agent.speaker,
    { settings } = agent.machine;
  const from = source === localPeer ? "local" : neighbours.byId(source)!.role,
    session = neighbours.byId(peer)!.settings;
  const own = ipBytes((prefixFamily(prefix) === 4 ? settings.address : settings.address6) as Ip);
  if (to === "external") {
    if (!session.export.some((name) => accepts(settings.policies[name], prefix))) return undefined;
    const { localPref: _, originatorId: __, clusterList: ___, ...others } = values;
    return routeText({ ...others, asPath: prependAs(values.asPath ?? [], settings.asn) }, own);
  }
  if (from === "local") return routeText(values, nextHop);
  if (from === "external") return routeText({ ...values, localPref: values.localPref ?? 100 }, session.nextHopSelf ? own : nextHop);
  if (from === "non-client" && to === "non-client") return undefined;
  const originatorId = values.originatorId ?? neighbours.byId(source)!.remoteId ?? agent.speaker.rib.peers.routerId[source]!;
  const clusterId = new DataView(ipBytes(settings.clusterId).buffer).getUint32(0);
  return routeText({ ...values, originatorId, clusterList: Uint32Array.of(clusterId, ...(values.clusterList ?? [])) }, nextHop);
}

/** RFC 9494 §4.3: what is stale for long is for those who know it; RFC 9234 §5: what carries ONLY_TO_CUSTOMER goes to customers. */
function mayLeave(agent: Teller, peer: number, terms: SessionTerms, { values }: Chosen): boolean {
  if (values.communities?.includes(wellKnownCommunity.llgrStale) && terms.longLived === undefined) return false;
  const ourRole = terms.role === "external" ? agent.speaker.neighbours.byId(peer)!.settings.asRole : undefined;
  return values.otc === undefined || !(ourRole === "customer" || ourRole === "peer" || ourRole === "rs-client");
}

/** The policies of the simulated documents: `all`, and `pods` with its prefixes. */
function accepts(policy: PolicySettings | undefined, prefix: Prefix): boolean {
  if (policy === undefined) return false;
  return policy.otherwise === "accept" || policy.rules.some(({ when }) => when.prefixes?.some((one) => contains(one.prefix, prefix)));
}
