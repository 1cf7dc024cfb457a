/** The PacketFilter port over nftables, in the network namespace of the thread that opened it. */
import { FaultError, type Outcome, type WorldFault } from "#base/fault.ts";
import type { FilterChange, SeenTable } from "#base/filter-table.ts";
import { type AddressRange, chainKey, type ForwardChain, type ForwardRule, type ForwardView, setKey } from "#base/forward-chain.ts";
import type { PacketFilter } from "#ports/filter.ts";
import { decodeTable, encodeChange, listOurs } from "#wire/nft.ts";
import { listChain, listChains, listSet, readChains, readElements, readRules } from "#wire/nft-forward.ts";
import { type NftObject, readListing } from "#wire/nft-json.ts";
import { type NftEngine, openNft } from "./nft-engine.ts";
import { NftGeneration } from "./nft-generation.ts";

/** What is read of other people's rules: beyond, a rule counts as one that is not understood. */
const limits = { chains: 64, sets: 16, elements: 2000 } as const;

/** `engine`: of two, the one that works, unless given; it is opened when the rules are first looked at. */
export function openNftKernel(engine?: NftEngine): PacketFilter {
  return new NftKernel(engine);
}

class NftKernel implements PacketFilter {
  readonly #generation = new NftGeneration();
  #engine: Promise<NftEngine> | undefined;

  constructor(engine: NftEngine | undefined) {
    this.#engine = engine && Promise.resolve(engine);
  }

  generation(): number {
    return this.#generation.read();
  }

  async look(): Promise<SeenTable | undefined> {
    const listing = await this.#listIfThere(listOurs);
    return listing === undefined ? undefined : must(decodeTable(listing));
  }

  async apply(change: FilterChange): Promise<void> {
    await this.#run(encodeChange(change));
  }

  async forwardChains(): Promise<ForwardView> {
    const heads = new Map(readChains(await this.#list(listChains)).map((head) => [chainKey(head), head]));
    const chains = new Map<string, ForwardChain>(),
      waiting = [...heads.values()].filter((head) => head.policy !== undefined);
    for (let head = waiting.shift(); head !== undefined && chains.size < limits.chains; head = waiting.shift()) {
      if (chains.has(chainKey(head))) continue;
      const rules = readRules(await this.#list(listChain(head)));
      chains.set(chainKey(head), { ...head, rules });
      for (const name of jumps(rules)) waiting.push(...[heads.get(chainKey({ ...head, name }))].filter((next) => next !== undefined));
    }
    return { chains: [...chains.values()], sets: await this.#sets([...chains.values()]) };
  }

  async close(): Promise<void> {
    this.#generation.close();
    await (await this.#engine)?.close();
  }

  async #sets(chains: readonly ForwardChain[]): Promise<ForwardView["sets"]> {
    const sets = new Map<string, readonly AddressRange[]>(),
      asked = new Set<string>();
    for (const chain of chains) {
      for (const name of setsOf(chain.rules)) {
        const key = setKey(chain, name);
        if (asked.has(key) || asked.size === limits.sets) continue;
        asked.add(key);
        const elements = readElements(await this.#list(listSet(chain, name)));
        if (elements !== undefined && elements.length <= limits.elements) sets.set(key, elements);
      }
    }
    return sets;
  }

  /** A table or chain that went away since it was listed is an empty one. */
  async #list(command: string): Promise<readonly NftObject[]> {
    const listing = await this.#listIfThere(command);
    return listing === undefined ? [] : must(readListing(listing));
  }

  async #listIfThere(command: string): Promise<string | undefined> {
    try {
      return await this.#run(command);
    } catch (cause) {
      if (cause instanceof FaultError && cause.fault.code === "filter.absent") return undefined;
      throw cause;
    }
  }

  async #run(command: string): Promise<string> {
    this.#engine ??= openNft();
    const engine = await this.#engine.catch((cause: unknown) => {
      this.#engine = undefined; // it may be installed later
      throw cause;
    });
    return engine.run(command);
  }
}

function must<T>(outcome: Outcome<T, WorldFault>): T {
  if (!outcome.ok) throw new FaultError(outcome.fault);
  return outcome.value;
}

function jumps(rules: readonly ForwardRule[]): readonly string[] {
  return rules.flatMap(({ verdict }) => (verdict.kind === "jump" || verdict.kind === "goto" ? [verdict.chain] : []));
}

function setsOf(rules: readonly ForwardRule[]): readonly string[] {
  return rules.flatMap(({ matches }) => matches.flatMap((match) => (match.kind === "address" && "set" in match.within ? [match.within.set] : [])));
}
