/**
 * Who stops pods' packets on their way through this node. A packet is forwarded only if every base chain at the forward hook lets
 * it by, so no rule of ours can overrule another's drop: it can only be found and told. A connection between two pods is walked
 * through the rules; what a rule asks beyond addresses, states, families and our devices is taken as not matching, so a chain that
 * drops by default is told of unless a rule surely accepts.
 */
import { type AddressRange, chainKey, type ForwardChain, type ForwardMatch, type ForwardView, prefixRange, setKey } from "#base/forward-chain.ts";
import { compareIp, type Family } from "#base/ip.ts";
import { prefixFamily, type Prefix } from "#base/prefix.ts";

/** The first packet of connections between these pods must get through. */
export interface ForwardProbe {
  readonly source: Prefix;
  readonly destination: Prefix;
  /** CIDR of the pool both are in: what a rule that helps should name. */
  readonly pool: Prefix;
}

/** As deep as nftables lets chains jump, and what one chain may cost. */
const limits = { depth: 16, rules: 5000 } as const;

/** Pods here to pods elsewhere and back, for each CIDR this node holds. */
export function forwardProbes(pools: readonly { readonly name: string; readonly cidr: Prefix }[], own: ReadonlyMap<string, Prefix>): readonly ForwardProbe[] {
  return pools.flatMap(({ name, cidr: pool }) => {
    const cidr = own.get(name);
    return cidr === undefined
      ? []
      : [
          { source: cidr, destination: pool, pool },
          { source: pool, destination: cidr, pool },
        ];
  });
}

/** One sentence per chain that drops packets of `probes`, with what to do. */
export function findForwardDrops(view: ForwardView, probes: readonly ForwardProbe[]): readonly string[] {
  const chains = new Map(view.chains.map((chain) => [chainKey(chain), chain]));
  return view.chains.flatMap((chain) => {
    if (chain.policy === undefined) return [];
    const dropped = probes.flatMap((probe) => {
      const by = new Walk(view, chains, probe).end(chain);
      return by === undefined ? [] : [{ probe, by }];
    });
    return dropped.length === 0 ? [] : [sentence(chain, chains, dropped)];
  });
}

function sentence(
  chain: ForwardChain,
  chains: ReadonlyMap<string, ForwardChain>,
  dropped: readonly { readonly probe: ForwardProbe; readonly by: Dropper }[],
): string {
  const pools = [...new Set(dropped.map(({ probe }) => probe.pool))],
    by = dropped[0]!.by;
  // Docker rewrites its chains when it starts, and leaves this one to others.
  const others = chains.has(chainKey({ ...chain, name: "DOCKER-USER" })) ? "DOCKER-USER" : chain.name;
  const why = by === "policy" ? "by its policy, and no rule of it surely accepts them" : "by a rule";
  const place = `${chain.family} ${chain.table} ${others}`,
    field = prefixFamily(pools[0]!) === 4 ? "ip" : "ip6";
  return (
    `chain ${chain.name} of table ${chain.family} ${chain.table} drops forwarded packets of pods (${pools.join(", ")}) ${why}; let them through, ` +
    `for example: nft insert rule ${place} ${field} saddr ${pools[0]!} accept; nft insert rule ${place} ${field} daddr ${pools[0]!} accept`
  );
}

type Dropper = "policy" | "rule";
type Outcome = "accept" | "drop" | "end";

/** One packet's way through one base chain. */
class Walk {
  readonly #view: ForwardView;
  readonly #chains: ReadonlyMap<string, ForwardChain>;
  readonly #probe: ForwardProbe;
  readonly #family: Family;
  #rules = 0;

  constructor(view: ForwardView, chains: ReadonlyMap<string, ForwardChain>, probe: ForwardProbe) {
    this.#view = view;
    this.#chains = chains;
    this.#probe = probe;
    this.#family = prefixFamily(probe.source);
  }

  /** What drops the packet; undefined: it gets by. */
  end(base: ForwardChain): Dropper | undefined {
    if (base.family !== "inet" && base.family !== (this.#family === 4 ? "ip" : "ip6")) return undefined;
    const outcome = this.#through(base, 0);
    return outcome === "drop" ? "rule" : outcome === "end" && base.policy === "drop" ? "policy" : undefined;
  }

  #through(chain: ForwardChain, depth: number): Outcome {
    for (const { matches, verdict } of chain.rules) {
      if (this.#rules++ > limits.rules) return "accept";
      if (!matches.every((match) => this.#holds(match, chain))) continue;
      if (verdict.kind === "accept" || verdict.kind === "drop") return verdict.kind;
      if (verdict.kind === "return") return "end";
      const target = "chain" in verdict ? this.#chains.get(chainKey({ ...chain, name: verdict.chain })) : undefined;
      const outcome = target === undefined || depth === limits.depth ? "end" : this.#through(target, depth + 1);
      if (outcome !== "end" || verdict.kind === "goto") return outcome;
    }
    return "end";
  }

  /** True only if it surely holds for every packet of the probe. */
  #holds(match: ForwardMatch, chain: ForwardChain): boolean {
    switch (match.kind) {
      case "address":
        return match.family === this.#family && this.#addressHolds(match, chain);
      case "connection":
        return match.states.includes("new") !== match.negated;
      case "device":
        return !match.negated && match.names.some((name) => name.startsWith("pw-"));
      case "family":
        return (match.family === this.#family) !== match.negated;
      case "unknown":
        return false;
    }
  }

  #addressHolds({ within, side, negated }: Extract<ForwardMatch, { kind: "address" }>, chain: ForwardChain): boolean {
    const ranges = "set" in within ? this.#view.sets.get(setKey(chain, within.set)) : within;
    if (ranges === undefined) return false;
    const all = prefixRange(this.#probe[side]);
    return negated ? ranges.every((range) => isApart(range, all)) : ranges.some((range) => holds(range, all));
  }
}

const holds = (outer: AddressRange, inner: AddressRange): boolean => compareIp(outer.first, inner.first) <= 0 && compareIp(inner.last, outer.last) <= 0;
const isApart = (a: AddressRange, b: AddressRange): boolean => compareIp(a.last, b.first) < 0 || compareIp(b.last, a.first) < 0;
