/** One route put to a chain of policies, away from any speaker: how tests in a document are judged, by what judges routes. */
import type { PolicySettings, RouteSource } from "#base/policy-settings.ts";
import { type Prefix, prefixParts } from "#base/prefix.ts";
import type { PathAttributes } from "#wire/bgp/attribute.ts";
import { AttributeTable } from "../rib/attributes.ts";
import { LocRib } from "../rib/loc-rib.ts";
import { PeerTable, roleClient, roleExternal, roleLocal } from "../rib/peer-table.ts";
import { CompiledPolicies, type PolicyParts } from "./compiled-policies.ts";

export interface TriedRoute {
  readonly prefix: Prefix;
  /** `nextHop` of 4 or 16 octets, of the prefix's family. */
  readonly attributes: PathAttributes;
  readonly source: RouteSource;
  /** Name of the neighbour it was learned from. */
  readonly from: string | undefined;
}

export interface TriedOutcome {
  /** Of the rule that decided in the chain; one behind the last: none did. */
  readonly place: number;
  readonly accepted: { readonly attributes: PathAttributes; readonly weight: number } | undefined;
}

const neighbour = 1;
const roles = { local: roleLocal, internal: roleClient, external: roleExternal } as const;

export interface TrialGround {
  readonly ownAs: number;
  readonly way: PolicyParts["way"];
  /** Our addresses, for `nextHop: self`. */
  readonly self: PolicyParts["self"];
}

export function tryRoute(policies: readonly PolicySettings[], route: TriedRoute, { ownAs, way, self }: TrialGround): TriedOutcome {
  const attributes = new AttributeTable({ asn: ownAs, routerId: 0, clusterId: 0, addresses: [] }),
    peers = new PeerTable(),
    { bytes, length } = prefixParts(route.prefix);
  const isFour = bytes.length === 4,
    rib = new LocRib(isFour ? 0 : 1, attributes, peers),
    prefix = rib.prefixes.intern(bytes, 0, length);
  if (route.from !== undefined) peers.names[neighbour] = [route.from];
  const { nextHop, ...others } = route.attributes,
    set = isFour ? attributes.internValues(route.attributes, undefined) : attributes.internValues(others, nextHop);
  attributes.retain(set);
  const compiled = new CompiledPolicies(policies, { attributes, peers, way, self }),
    place = compiled.decide(rib, prefix, set, roles[route.source], neighbour),
    out = compiled.filter(rib, prefix, set, roles[route.source], neighbour);
  if (out === 0) return { place, accepted: undefined };
  const values = { ...attributes.decode(out), ...(attributes.nextHopLength(out) > 0 && { nextHop: attributes.nextHopOf(out) }) };
  return { place, accepted: { attributes: values, weight: attributes.weight[out]! } };
}
