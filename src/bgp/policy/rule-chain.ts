/**
 * Which rule of a chain decides: first match over all rules of its policies, in order. Twin: the walk over rules in
 * test/bgp/policy-twin.ts.
 *
 * What a rule asks of a route is asked where it costs least: of attributes once for each attribute set, of the prefix by one
 * search for all prefix sets (prefix-classes.ts), of the neighbour by a number (origins.ts). An attribute set leaves the rules
 * that may still match; together with the classes of prefix and neighbour they decide, and that is remembered in a table.
 */
import type { PolicyRule } from "#base/policy-settings.ts";
import type { AttributeTable } from "../rib/attributes.ts";
import type { LocRib } from "../rib/loc-rib.ts";
import type { PeerTable, Role } from "../rib/peer-table.ts";
import { grown } from "../rib/prefixes.ts";
import { AttributeView } from "./attribute-view.ts";
import { Origins } from "./origins.ts";
import { PrefixClasses } from "./prefix-classes.ts";
import { type SetCondition, setConditions } from "./set-conditions.ts";

interface Conditions {
  readonly asks: readonly SetCondition[];
  /** Place of its prefixes among the sets of the chain; -1: any prefix. */
  readonly prefixes: number;
  readonly family: 4 | 6 | undefined;
  /** True if the attributes alone decide whether it matches. */
  readonly bySetAlone: boolean;
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

export class RuleChain {
  readonly #attributes: AttributeTable;
  readonly #rules: readonly Conditions[];
  readonly #classes: PrefixClasses | undefined;
  readonly #classCount: number;
  readonly #origins: Origins;
  #remainders: Remainder[] = [];
  /** By the rules in order: node × (rules + 1) + place → node; node × (rules + 1) + rules → remainder. Node 0 is the beginning. */
  readonly #steps = new Map<number, number>();
  /** The key that led to each node. */
  #keyOf = [0];
  // by attribute set: which remainder, and for which generation of the id (plus one; 0: not known)
  #remainderOf = new Uint16Array(256);
  #knownFor = new Uint32Array(256);

  constructor(rules: readonly PolicyRule[], attributes: AttributeTable, peers: PeerTable) {
    const lists = [...new Set(rules.flatMap(({ when }) => (when.prefixes ? [when.prefixes] : [])))];
    this.#attributes = attributes;
    this.#rules = rules.map(({ when }) => {
      const prefixes = when.prefixes ? lists.indexOf(when.prefixes) : -1;
      const bySetAlone = prefixes < 0 && when.family === undefined && when.source === undefined && when.from === undefined;
      return { asks: setConditions(when), prefixes, family: when.family, bySetAlone };
    });
    this.#classes = this.#rules.some(({ prefixes, family }) => prefixes >= 0 || family !== undefined) ? new PrefixClasses(lists) : undefined;
    this.#classCount = this.#classes?.count ?? 1;
    this.#origins = new Origins(
      rules.map(({ when }) => when),
      peers,
    );
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
    const rules = this.#rules,
      wide = rules.length + 1;
    let node = 0,
      isRead = false;
    for (let place = 0; place < rules.length; place++) {
      const { asks, bySetAlone } = rules[place]!;
      if (asks.length > 0 && !isRead) {
        view.read(this.#attributes, set);
        isRead = true;
      }
      let holds = true;
      for (let i = 0; i < asks.length && holds; i++) holds = asks[i]!(view, this.#attributes, set);
      if (!holds) continue;
      node = this.#stepTo(node * wide + place);
      if (bySetAlone) break;
    }
    return this.#steps.get(node * wide + rules.length) ?? this.#makeRemainder(node);
  }

  #stepTo(key: number): number {
    const known = this.#steps.get(key);
    if (known !== undefined) return known;
    this.#steps.set(key, this.#keyOf.length);
    return this.#keyOf.push(key) - 1;
  }

  #makeRemainder(node: number): number {
    const rules = this.#rulesOf(node),
      last = rules.at(-1),
      first = rules[0] ?? this.#rules.length;
    if (this.#remainders.length === mostRemainders) return this.#makeAnew(rules);
    const decided = last === undefined || (rules.length === 1 && this.#rules[last]!.bySetAlone) ? first : undecided;
    const table = new Int16Array(decided === undecided ? this.#classCount * this.#origins.count : 0).fill(undecided);
    const made = this.#remainders.push({ rules, decided, table }) - 1;
    this.#steps.set(node * (this.#rules.length + 1) + this.#rules.length, made);
    return made;
  }

  #makeAnew(rules: readonly number[]): number {
    this.#forget();
    const node = rules.reduce((from, place) => this.#stepTo(from * (this.#rules.length + 1) + place), 0);
    return this.#makeRemainder(node);
  }

  #rulesOf(node: number): readonly number[] {
    const wide = this.#rules.length + 1,
      places: number[] = [];
    for (let at = node; at !== 0; at = Math.floor(this.#keyOf[at]! / wide)) places.unshift(this.#keyOf[at]! % wide);
    return places;
  }

  #forget(): void {
    this.#remainders = [];
    this.#steps.clear();
    this.#keyOf = [0];
    this.#knownFor.fill(0);
  }

  #grow(set: number): void {
    const size = Math.max(set + 1, this.#knownFor.length * 2);
    this.#knownFor = grown(this.#knownFor, size);
    this.#remainderOf = grown(this.#remainderOf, size);
  }
}

/** A neighbour whose names no rule has met before adds a class. */
function longer(table: Int16Array, length: number): Int16Array {
  const out = new Int16Array(length).fill(undecided);
  out.set(table);
  return out;
}
