/**
 * What becomes of an attribute set on its way to a group: as it stands between internal peers (RFC 4456 §10: reflection
 * changes neither NEXT_HOP, AS_PATH, LOCAL_PREF nor MED), rewritten at the edge of the AS.
 */
import type { Ip } from "#base/ip.ts";
import { ipBytes } from "#base/ip.ts";
import type { PathAttributes } from "#wire/bgp/attribute.ts";
import type { CompiledPolicies } from "../policy/compiled-policies.ts";
import type { AttributeTable } from "../rib/attributes.ts";
import type { LocRib } from "../rib/loc-rib.ts";
import { type Role, roleClient, roleExternal, roleLocal, roleMonitor, roleNonClient } from "../rib/peer-table.ts";
import { SetMemo } from "../rib/set-memo.ts";
import { type ExportEdge, lastInside, passOut, shutDownInside, whyKept } from "./edge.ts";
import { defaultLocalPref, flagLongLivedStale } from "../rib/scan.ts";

const medOfOwn = 0;
const medOfOthers = 100;

export interface ExportSettings {
  readonly to: Role;
  readonly family: 4 | 6;
  /** Our next hop towards the group: for external neighbours, and for external routes told to internal ones. */
  readonly self: Ip | undefined;
  readonly edge: ExportEdge;
  readonly policy: CompiledPolicies | undefined;
}

export class Exporter {
  readonly #settings: ExportSettings;
  readonly #attributes: AttributeTable;
  /** Locally originated routes and all others: towards the outside they differ in MED. */
  readonly #local: SetMemo;
  readonly #edge: SetMemo;
  /** Long-lived stale ones, for who does not know them. */
  readonly #last: SetMemo;
  /** Reflected ones, where they do not go as they are. */
  readonly #inside: SetMemo;

  constructor(settings: ExportSettings, attributes: AttributeTable) {
    this.#settings = settings;
    this.#attributes = attributes;
    const { self, family } = settings;
    const nextHop = self && ipBytes(self);
    const inMp = family === 6 || nextHop?.length === 16;
    const external = settings.to === roleExternal;
    const { edge } = settings;
    const memo = (med: number, keepsHop: boolean): SetMemo =>
      new SetMemo(
        attributes,
        (values) => {
          if (!nextHop && !keepsHop) return undefined; // no address of ours of that family: nothing can be told
          const changed = external ? toExternal(values, edge, attributes.self.asn, med) : toInternal(values, edge);
          if (keepsHop) return changed;
          const { nextHop: _, ...others } = changed;
          return inMp ? others : { ...others, nextHop: nextHop! };
        },
        keepsHop ? undefined : () => (inMp ? nextHop : undefined),
      );
    this.#last = new SetMemo(attributes, lastInside);
    this.#local = memo(medOfOwn, !external);
    this.#edge = memo(medOfOthers, !external && edge.nextHopSelf === false);
    this.#inside = memo(medOfOthers, edge.nextHopSelf !== "force");
  }

  /** The set to tell, or 0 for none. `peer`: whom it was learned from. */
  // oxlint-disable-next-line max-params -- once per route: no object is made for it
  tell(rib: LocRib, prefix: number, set: number, from: Role, peer: number): number {
    const { to, policy, edge } = this.#settings;
    if (to === roleMonitor) return set;
    if (whyKept(edge, this.#attributes.flags[set]!) !== undefined) return 0;
    const told = this.#told(set, from);
    // after the rewriting, so that a policy may set what was stripped (MED)
    return told !== 0 && policy ? policy.filter(rib, prefix, told, from, peer, set) : told;
  }

  /** True if the outcome is a matter of the set and its source alone. */
  get looksAtSetsAlone(): boolean {
    return this.#settings.policy === undefined;
  }

  /** The place of the rule that decides about a route, in the chain of the group's policies; undefined without policies, or where none is asked. */
  placeOf(rib: LocRib, prefix: number, set: number, source: { readonly role: Role; readonly peer: number }): number | undefined {
    const { to, policy, edge } = this.#settings;
    if (!policy || to === roleMonitor || whyKept(edge, this.#attributes.flags[set]!) !== undefined) return undefined;
    const told = this.#told(set, source.role);
    return told === 0 ? undefined : policy.decide(rib, prefix, told, source.role, source.peer);
  }

  #told(set: number, from: Role): number {
    const told = this.#rewritten(set, from);
    const isLast = this.#settings.edge.longLived === "last" && (this.#attributes.flags[set]! & flagLongLivedStale) !== 0;
    return isLast && told !== 0 ? this.#last.of(told) : told;
  }
  #rewritten(set: number, from: Role): number {
    const { to, edge } = this.#settings;
    if (from === roleLocal) return to === roleExternal || edge.shutdown ? this.#local.of(set) : set;
    if (to === roleExternal || !(from === roleClient || from === roleNonClient)) return this.#edge.of(set);
    return edge.shutdown || edge.nextHopSelf === "force" ? this.#inside.of(set) : set;
  }

  /** Why a set may not leave by the edge, whatever the policy says; undefined if it may. */
  whyKept(set: number): string | undefined {
    return whyKept(this.#settings.edge, this.#attributes.flags[set]!);
  }

  close(): void {
    this.#local.close();
    this.#edge.close();
    this.#last.close();
    this.#inside.close();
    this.#settings.policy?.close();
  }
}

/**
 * RFC 4271 §5.1: own AS in front; LOCAL_PREF, MED learned elsewhere, ORIGINATOR_ID and CLUSTER_LIST stay inside. Our MED says
 * whether the prefix is this speaker's own: of several nodes that tell a neighbour of one pod CIDR, the node that has it is
 * preferred, and the others are there if its session is lost (§5.1.4: MED discriminates among entry points to one AS).
 */
function toExternal(values: PathAttributes, edge: ExportEdge, asn: number, med: number): PathAttributes {
  const { localPref: _l, originatorId: _o, clusterList: _c, ...kept } = values;
  return { ...passOut(kept, edge, asn), med };
}

/** RFC 4271 §5.1.5: LOCAL_PREF goes along to internal peers. */
function toInternal(values: PathAttributes, { shutdown }: ExportEdge): PathAttributes {
  if (shutdown) return shutDownInside(values);
  return values.localPref === undefined ? { ...values, localPref: defaultLocalPref } : values;
}
