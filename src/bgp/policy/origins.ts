/** Which rules a route may meet by where it was learned. Neighbours that meet the same rules are of one class. */
import type { PolicyConditions, RouteSource } from "#base/policy-settings.ts";
import { type PeerTable, type Role, roleExternal, roleLocal } from "../rib/peer-table.ts";

const roles = 5;

export class Origins {
  readonly #rules: readonly PolicyConditions[];
  readonly #peers: PeerTable;
  readonly #classes: (readonly boolean[])[] = [];
  readonly #known = new Map<string, number>();
  /** By role, where no rule asks for a name. */
  readonly #byRole: readonly number[] | undefined;
  /** By the names a session of a neighbour began with, then by role. */
  readonly #byNames = new WeakMap<readonly string[], readonly number[]>();

  constructor(rules: readonly PolicyConditions[], peers: PeerTable) {
    this.#rules = rules;
    this.#peers = peers;
    if (rules.every(({ from }) => from === undefined)) this.#byRole = this.#classesOf(noNames);
  }

  get count(): number {
    return this.#classes.length;
  }
  meets(rule: number, origin: number): boolean {
    return this.#classes[origin]![rule]!;
  }

  classOf(from: Role, peer: number): number {
    if (this.#byRole) return this.#byRole[from]!;
    const names = this.#peers.names[peer] ?? noNames;
    let classes = this.#byNames.get(names);
    if (!classes) this.#byNames.set(names, (classes = this.#classesOf(names)));
    return classes[from]!;
  }

  #classesOf(names: readonly string[]): readonly number[] {
    return Array.from({ length: roles }, (_, role) => {
      const meets = this.#rules.map(
        ({ source, from }) => (!source || source === sourceOf(role as Role)) && (!from || from.some((name) => names.includes(name))),
      );
      const key = meets.map(Number).join("");
      let made = this.#known.get(key);
      if (made === undefined) this.#known.set(key, (made = this.#classes.push(meets) - 1));
      return made;
    });
  }
}

const noNames: readonly string[] = [];

export function sourceOf(from: Role): RouteSource {
  return from === roleLocal ? "local" : from === roleExternal ? "external" : "internal";
}
