/**
 * A chain of policies, compiled: first match over all their rules in order, then the last one's `otherwise`. Twin: the walk over
 * rules in test/bgp/policy-twin.ts.
 *
 * What a rule asks of a route is asked where it costs least: of attributes once for each attribute set, of the prefix by one
 * search for all prefix sets (prefix-classes.ts), of the neighbour by a number (origins.ts). An attribute set leaves the rules
 * that may still match; together with the classes of prefix and neighbour they decide, and that is remembered in a table.
 */
import type { PolicyRule, PolicySettings } from "#base/policy-settings.ts";
import type { AttributeTable } from "../rib/attributes.ts";
import type { LocRib } from "../rib/loc-rib.ts";
import type { PeerTable, Role } from "../rib/peer-table.ts";
import { grown } from "../rib/prefixes.ts";
import { AttributeView } from "./attribute-view.ts";
import { Origins } from "./origins.ts";
import { PrefixClasses } from "./prefix-classes.ts";
import { Rewriting } from "./rewriting.ts";
import { type SetCondition, setConditions } from "./set-conditions.ts";

export interface PolicyParts {
  readonly attributes: AttributeTable;
  readonly peers: PeerTable;
  /** Where routes that are judged go: LOCAL_PREF does not leave the AS (RFC 4271 §5.1.5), and a weight is for paths that are held here. */
  readonly way: "import" | "export" | "export to outside";
  /** What `nextHop: self` stands for, by family. */
  readonly self: readonly [Uint8Array | undefined, Uint8Array | undefined];
}

interface CompiledRule {
  readonly asks: readonly SetCondition[];
  /** Place of its prefixes among the sets of the chain; -1: any prefix. */
  readonly prefixes: number;
  readonly family: 4 | 6 | undefined;
  /** True if the attributes alone decide whether it matches. */
  readonly bySetAlone: boolean;
  readonly accepts: boolean;
  readonly rewriting: Rewriting | undefined;
}

/** Rules that a set leaves, and what they decide by class of prefix and neighbour. */
interface Remainder {
  readonly rules: readonly number[];
  /** The rule that decides whatever the prefix; -1 if that depends. */
  readonly decided: number;
  table: Int16Array;
}

const undecided = -1;
/** Beyond, all are forgotten and found anew: only what somebody makes up differs in so many ways. */
const mostRemainders = 4096;
const view = new AttributeView();

export class CompiledPolicies {
  /** How often each rule decided, in order; the last is `otherwise`. */
  readonly hits: Float64Array;
  readonly #attributes: AttributeTable;
  readonly #rules: readonly CompiledRule[];
  readonly #otherwise: boolean;
  readonly #classes: PrefixClasses | undefined;
  readonly #classCount: number;
  readonly #origins: Origins;
  #remainders: Remainder[] = [];
  readonly #byRules = new Map<string, number>();
  // by attribute set: which remainder, and for which generation of the id (plus one; 0: not known)
  #remainderOf = new Uint16Array(256);
  #knownFor = new Uint32Array(256);

  constructor(policies: readonly PolicySettings[], parts: PolicyParts, hits?: Float64Array) {
    const rules = policies.flatMap((policy) => policy.rules),
      lists = [...new Set(rules.flatMap(({ when }) => (when.prefixes ? [when.prefixes] : [])))];
    this.#attributes = parts.attributes;
    this.#rules = rules.map((rule) => compileRule(rule, rule.when.prefixes ? lists.indexOf(rule.when.prefixes) : -1, parts));
    this.#otherwise = policies.at(-1)?.otherwise === "accept";
    this.#classes = this.#rules.some(({ prefixes, family }) => prefixes >= 0 || family !== undefined) ? new PrefixClasses(lists) : undefined;
    this.#classCount = this.#classes?.count ?? 1;
    this.#origins = new Origins(
      rules.map(({ when }) => when),
      parts.peers,
    );
    this.hits = hits ?? new Float64Array(rules.length + 1);
  }

  /** The set to keep or tell instead (often the same), or 0. `before`: as it was before our own rewriting towards the neighbour. */
  // oxlint-disable-next-line max-params -- once per route: no object is made for it
  filter(rib: LocRib, prefix: number, set: number, from: Role, peer: number, before = set): number {
    const place = this.decide(rib, prefix, set, from, peer);
    this.hits[place]!++;
    const rule = this.#rules[place];
    if (!rule) return this.#otherwise ? set : 0;
    if (!rule.accepts) return 0;
    return rule.rewriting ? rule.rewriting.of(rib, set, before, from) : set;
  }

  /** The place of the rule that decides in the chain; one behind the last is `otherwise`. */
  // oxlint-disable-next-line max-params -- as `filter`
  decide(rib: LocRib, prefix: number, set: number, from: Role, peer: number): number {
    const remainder = this.#remainders[this.#remainder(set)]!;
    if (remainder.decided !== undecided) return remainder.decided;
    const prefixClass = this.#classes ? this.#classes.classOf(rib.prefixes, prefix) : 0,
      origin = this.#origins.classOf(from, peer),
      slot = origin * this.#classCount + prefixClass,
      known = slot < remainder.table.length ? remainder.table[slot]! : undecided;
    if (known !== undecided) return known;
    const found = remainder.rules.find((place) => this.#matches(place, prefixClass, origin)) ?? this.#rules.length;
    if (slot >= remainder.table.length) remainder.table = longer(remainder.table, (origin + 1) * this.#classCount);
    remainder.table[slot] = found;
    return found;
  }

  /** Lets go of the sets it rewrote. */
  close(): void {
    for (const { rewriting } of this.#rules) rewriting?.close();
  }

  #matches(place: number, prefixClass: number, origin: number): boolean {
    const { prefixes, family } = this.#rules[place]!;
    if (family !== undefined && this.#classes!.familyOf(prefixClass) !== family) return false;
    return (prefixes < 0 || this.#classes!.holds(prefixes, prefixClass)) && this.#origins.meets(place, origin);
  }

  #remainder(set: number): number {
    if (set >= this.#knownFor.length) this.#grow(set);
    const generation = this.#attributes.generation[set]! + 1;
    if (this.#knownFor[set] === generation) return this.#remainderOf[set]!;
    const found = this.#findRemainder(set);
    this.#knownFor[set] = generation;
    this.#remainderOf[set] = found;
    return found;
  }

  #findRemainder(set: number): number {
    const rules: number[] = [];
    let isRead = false,
      ends = false;
    for (let place = 0; place < this.#rules.length && !ends; place++) {
      const { asks, bySetAlone } = this.#rules[place]!;
      if (asks.length > 0 && !isRead) {
        view.read(this.#attributes, set);
        isRead = true;
      }
      if (!asks.every((holds) => holds(view, this.#attributes, set))) continue;
      rules.push(place);
      ends = bySetAlone;
    }
    const key = rules.join(" "),
      known = this.#byRules.get(key);
    if (known !== undefined) return known;
    if (this.#remainders.length === mostRemainders) this.#forget();
    const first = rules.length === 0 ? this.#rules.length : ends && rules.length === 1 ? rules[0]! : undecided;
    const table = new Int16Array(first === undecided ? this.#classCount * this.#origins.count : 0).fill(undecided);
    const made = this.#remainders.push({ rules, decided: first, table }) - 1;
    this.#byRules.set(key, made);
    return made;
  }

  #forget(): void {
    this.#remainders = [];
    this.#byRules.clear();
    this.#knownFor.fill(0);
  }

  #grow(set: number): void {
    const size = Math.max(set + 1, this.#knownFor.length * 2);
    this.#knownFor = grown(this.#knownFor, size);
    this.#remainderOf = grown(this.#remainderOf, size);
  }
}

function compileRule(rule: PolicyRule, prefixes: number, parts: PolicyParts): CompiledRule {
  const { when, set } = rule,
    { localPref, weight, ...others } = set;
  const changes = {
    ...others,
    ...(localPref && parts.way !== "export to outside" && { localPref }),
    ...(weight !== undefined && parts.way === "import" && { weight }),
  };
  return {
    asks: setConditions(when),
    prefixes,
    family: when.family,
    bySetAlone: prefixes < 0 && when.family === undefined && when.source === undefined && when.from === undefined,
    accepts: rule.then === "accept",
    rewriting: rule.then === "accept" && Object.keys(changes).length > 0 ? new Rewriting(changes, parts) : undefined,
  };
}

/** A neighbour whose names no rule has met before adds a class. */
function longer(table: Int16Array, length: number): Int16Array {
  const out = new Int16Array(length).fill(undecided);
  out.set(table);
  return out;
}

/** The rule at a place of a chain, as a phrase: `rejected by policy outside, rule 3 (bogons)`. */
export function explainPlace(policies: readonly PolicySettings[], place: number): string {
  let left = place;
  for (const { name, rules } of policies) {
    const rule = rules[left];
    if (rule) return `${rule.then}ed by policy ${name}, rule ${left + 1}${rule.name === undefined ? "" : ` (${rule.name})`}`;
    left -= rules.length;
  }
  if (policies.length === 0) return "no policy is given, and without one an external neighbour gets nothing (RFC 8212)";
  return `no rule of ${policies.map(({ name }) => name).join(", ")} matches, so it is ${policies.at(-1)!.otherwise}ed`;
}
