/** A chain of policies, compiled for one direction: which rule decides (rule-chain.ts), and what becomes of the route. */
import type { PolicyRule, PolicySettings } from "#base/policy-settings.ts";
import type { AttributeTable } from "../rib/attributes.ts";
import type { LocRib } from "../rib/loc-rib.ts";
import type { PeerTable, Role } from "../rib/peer-table.ts";
import { Rewriting } from "./rewriting.ts";
import { RuleChain } from "./rule-chain.ts";

export interface PolicyParts {
  readonly attributes: AttributeTable;
  readonly peers: PeerTable;
  /** Where routes that are judged go: LOCAL_PREF does not leave the AS (RFC 4271 §5.1.5), and a weight is for paths that are held here. */
  readonly way: "import" | "export" | "export to outside";
  /** What `nextHop: self` stands for, by family. */
  readonly self: readonly [Uint8Array | undefined, Uint8Array | undefined];
}

interface Verdict {
  readonly accepts: boolean;
  readonly rewriting: Rewriting | undefined;
}

export class CompiledPolicies {
  /** How often each rule decided, in order; the last is `otherwise`. */
  readonly hits: Float64Array;
  readonly #chain: RuleChain;
  readonly #verdicts: readonly Verdict[];
  readonly #otherwise: boolean;

  /** `shared`: the chain of the same policies and the counters of the same way, where there are some already. */
  constructor(policies: readonly PolicySettings[], parts: PolicyParts, shared: { readonly chain?: RuleChain; readonly hits?: Float64Array | undefined } = {}) {
    const rules = policies.flatMap((policy) => policy.rules);
    this.#chain = shared.chain ?? new RuleChain(rules, parts.attributes, parts.peers);
    this.#verdicts = rules.map((rule) => compileVerdict(rule, parts));
    this.#otherwise = policies.at(-1)?.otherwise === "accept";
    this.hits = shared.hits ?? new Float64Array(rules.length + 1);
  }

  /** The set to keep or tell instead (often the same), or 0. `before`: as it was before our own rewriting towards the neighbour. */
  // oxlint-disable-next-line max-params -- once per route: no object is made for it
  filter(rib: LocRib, prefix: number, set: number, from: Role, peer: number, before = set): number {
    const place = this.#chain.decide(rib, prefix, set, from, peer);
    this.hits[place]!++;
    const verdict = this.#verdicts[place];
    if (!verdict) return this.#otherwise ? set : 0;
    if (!verdict.accepts) return 0;
    return verdict.rewriting ? verdict.rewriting.of(rib, set, before, from) : set;
  }

  /** The place of the rule that decides in the chain; one behind the last is `otherwise`. */
  // oxlint-disable-next-line max-params -- as `filter`
  decide(rib: LocRib, prefix: number, set: number, from: Role, peer: number): number {
    return this.#chain.decide(rib, prefix, set, from, peer);
  }

  /** Lets go of the sets it rewrote. */
  close(): void {
    for (const { rewriting } of this.#verdicts) rewriting?.close();
  }
}

function compileVerdict({ then, set }: PolicyRule, parts: PolicyParts): Verdict {
  const { localPref, weight, ...others } = set;
  const changes = {
    ...others,
    ...(localPref && parts.way !== "export to outside" && { localPref }),
    ...(weight !== undefined && parts.way === "import" && { weight }),
  };
  const accepts = then === "accept";
  return { accepts, rewriting: accepts && Object.keys(changes).length > 0 ? new Rewriting(changes, parts) : undefined };
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
