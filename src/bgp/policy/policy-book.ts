/** The named policies that count now. Chains of them are compiled from here, and what their rules decided is counted here. */
import type { PolicySettings } from "#base/policy-settings.ts";
import { CompiledPolicies, type PolicyParts } from "./compiled-policies.ts";
import { RuleChain } from "./rule-chain.ts";

interface Version {
  readonly policy: PolicySettings;
  readonly text: string;
  readonly number: number;
}

interface Counted {
  readonly way: "import" | "export";
  readonly chain: readonly Version[];
  readonly hits: Float64Array;
}

/** How often the rules of one policy decided, in one direction, since it is what it is. */
export interface PolicyHits {
  readonly policy: string;
  readonly way: "import" | "export";
  readonly rules: readonly number[];
  /** Routes no rule matched; only of the last policy of a chain. */
  readonly otherwise: number;
}

export class PolicyBook {
  #versions: ReadonlyMap<string, Version> = new Map();
  #number = 0;
  readonly #counted = new Map<string, Counted>();
  /** What decides is the same in both directions and for all who name the same policies: it is compiled and remembered once. */
  readonly #chains = new Map<string, { readonly chain: readonly Version[]; readonly rules: RuleChain }>();

  constructor(policies: Readonly<Record<string, PolicySettings>>) {
    this.use(policies);
  }

  /** From now on these; one that reads as before stays what it was. */
  use(policies: Readonly<Record<string, PolicySettings>>): void {
    const before = this.#versions;
    this.#versions = new Map(
      Object.entries(policies).map(([name, policy]) => {
        const text = JSON.stringify(policy),
          known = before.get(name);
        return [name, known?.text === text ? known : { policy, text, number: ++this.#number }];
      }),
    );
    for (const kept of [this.#counted, this.#chains])
      for (const [key, { chain }] of kept) if (chain.some((version) => this.#versions.get(version.policy.name) !== version)) kept.delete(key);
  }

  /** Equal for chains that judge alike. Names nobody declared are left out. */
  keyOf(names: readonly string[]): string {
    return this.#chain(names)
      .map(({ policy, number }) => `${policy.name}#${number}`)
      .join(" ");
  }
  named(names: readonly string[]): readonly PolicySettings[] {
    return this.#chain(names).map(({ policy }) => policy);
  }

  compile(names: readonly string[], parts: PolicyParts): CompiledPolicies {
    const chain = this.#chain(names),
      policies = chain.map(({ policy }) => policy),
      way = parts.way === "import" ? "import" : "export",
      chainKey = this.keyOf(names),
      key = `${way} ${chainKey}`;
    let rules = this.#chains.get(chainKey)?.rules;
    if (!rules) {
      rules = new RuleChain(
        policies.flatMap((policy) => policy.rules),
        parts.attributes,
        parts.peers,
      );
      this.#chains.set(chainKey, { chain, rules });
    }
    const made = new CompiledPolicies(policies, parts, { chain: rules, hits: this.#counted.get(key)?.hits });
    if (chain.length > 0) this.#counted.set(key, { way, chain, hits: made.hits });
    return made;
  }

  hits(): readonly PolicyHits[] {
    const sums = new Map<string, { policy: string; way: "import" | "export"; rules: number[]; otherwise: number }>();
    for (const { way, chain, hits } of this.#counted.values()) {
      let at = 0;
      for (const { policy } of chain) {
        const key = `${policy.name} ${way}`,
          sum = sums.get(key) ?? { policy: policy.name, way, rules: policy.rules.map(() => 0), otherwise: 0 };
        sums.set(key, sum);
        for (let rule = 0; rule < policy.rules.length; rule++) sum.rules[rule]! += hits[at++]!;
        if (policy === chain.at(-1)!.policy) sum.otherwise += hits[at]!;
      }
    }
    return [...sums.values()];
  }

  #chain(names: readonly string[]): readonly Version[] {
    return names.map((name) => this.#versions.get(name)).filter((version) => version !== undefined);
  }
}
