/**
 * Policies in force and other ones, both asked about the routes that are there. Export is exact: the chosen routes, by the exporter
 * of each side. Import judges what is held, which is what the policy in force left of what came; what it refused is not held.
 */
import type { PolicySettings } from "#base/policy-settings.ts";
import type { Prefix } from "#base/prefix.ts";
import type { SessionSettings } from "#base/settings.ts";
import type { PathAttributes } from "#wire/bgp/attribute.ts";
import { whyNotTold } from "../reflector/reflect.ts";
import type { Exporter } from "../reflector/export.ts";
import { none } from "../rib/adj-rib-in.ts";
import type { AttributeTable } from "../rib/attributes.ts";
import type { LocRib } from "../rib/loc-rib.ts";
import { type Role, roleExternal } from "../rib/peer-table.ts";
import type { Rib } from "../rib/rib.ts";
import type { FamilyIndex } from "../terms.ts";
import type { CompiledPolicies } from "./compiled-policies.ts";
import { PolicyBook } from "./policy-book.ts";

export interface TrialSide {
  readonly policies: Readonly<Record<string, PolicySettings>>;
  readonly session: SessionSettings;
}

/** What becomes of one route on either side: the set that is kept or told, or 0. Good during the call. */
export interface Judgement {
  readonly before: number;
  readonly after: number;
  readonly differs: boolean;
  prefix(): Prefix;
}

/** Answers the set a route becomes, 0 for none; undefined where no policy is asked. */
type Judge = (rib: LocRib, prefix: number, path: number) => number | undefined;

export class PolicyTrial {
  readonly #rib: Rib;
  readonly #peer: number;
  readonly #way: "import" | "export";
  readonly #judges: readonly (readonly [Judge, Judge])[];
  readonly #open: (CompiledPolicies | Exporter)[] = [];
  #family: FamilyIndex = 0;
  #at = 0;

  // oxlint-disable-next-line max-params -- two sides of one comparison
  constructor(rib: Rib, peer: number, way: "import" | "export", before: TrialSide, after: TrialSide) {
    this.#rib = rib;
    this.#peer = peer;
    this.#way = way;
    const books = [new PolicyBook(before.policies), new PolicyBook(after.policies)] as const;
    this.#judges = ([0, 1] as const).map((family) => [this.#judge(family, before, books[0]), this.#judge(family, after, books[1])] as const);
  }

  /** Judges up to `budget` more routes; false when all are judged. */
  step(budget: number, take: (judgement: Judgement) => void): boolean {
    for (let left = budget; left > 0; left--) {
      const rib = this.#rib.ribs[this.#family];
      const end = this.#way === "import" ? rib.adjRibIn.end : rib.prefixes.end;
      if (this.#at < end) this.#take(rib, this.#at++, take);
      else if (this.#family === 1) return false;
      else [this.#family, this.#at] = [1, 0];
    }
    return true;
  }

  close(): void {
    for (const one of this.#open) one.close();
  }

  #take(rib: LocRib, at: number, take: (judgement: Judgement) => void): void {
    const path = this.#way === "import" ? this.#received(rib, at) : rib.prefixes.isLive(at) ? rib.bestOf(at) : none;
    if (path === none) return;
    const prefix = rib.adjRibIn.prefix[path]!,
      [one, other] = this.#judges[this.#family]!;
    const before = one(rib, prefix, path),
      after = other(rib, prefix, path);
    if (before === undefined || after === undefined) return;
    take({ before, after, differs: before !== after, prefix: () => rib.prefixes.text(prefix) });
  }

  #received({ adjRibIn }: LocRib, path: number): number {
    return adjRibIn.isUsed(path) && adjRibIn.peer[path] === this.#peer ? path : none;
  }

  #judge(family: FamilyIndex, { session }: TrialSide, book: PolicyBook): Judge {
    return this.#way === "import" ? this.#importJudge(session, book) : this.#exportJudge(family, session, book);
  }

  #importJudge(session: SessionSettings, book: PolicyBook): Judge {
    const { peers } = this.#rib,
      role = peers.role[this.#peer]! as Role;
    if (role !== roleExternal && session.import.length === 0) return ({ adjRibIn }, _prefix, path) => adjRibIn.attributes[path]!;
    const compiled = book.compile(session.import, this.#rib.importParts);
    this.#open.push(compiled);
    return (rib, prefix, path) => compiled.filter(rib, prefix, rib.adjRibIn.attributes[path]!, role, this.#peer);
  }

  #exportJudge(family: FamilyIndex, session: SessionSettings, book: PolicyBook): Judge {
    const { peers, attributes } = this.#rib,
      role = peers.role[this.#peer]! as Role;
    if (!peers.speaks(this.#peer, family)) return () => undefined;
    const exporter = this.#rib.groups.makeExporter(family, peers.terms[this.#peer]!, session, book);
    this.#open.push(exporter);
    return (rib, prefix, path) => {
      const source = rib.adjRibIn.peer[path]!,
        set = rib.adjRibIn.attributes[path]!,
        from = peers.role[source]! as Role;
      if (source === this.#peer || whyNotTold(role, from, attributes.flags[set]!) !== undefined) return undefined;
      return exporter.tell(rib, prefix, set, from, source);
    };
  }
}

/** What differs, for people: verdicts, and the attributes that are not the same. */
export function compareJudgements(table: AttributeTable, { before, after }: Judgement): { readonly before: string; readonly after: string } {
  if (before === 0 || after === 0) return { before: before === 0 ? "rejected" : "accepted", after: after === 0 ? "rejected" : "accepted" };
  const [one, other] = [valuesOf(table, before), valuesOf(table, after)];
  const keys = [...new Set([...Object.keys(one), ...Object.keys(other)])].filter((key) => printed(one[key]) !== printed(other[key]));
  const side = (values: Readonly<Record<string, unknown>>): string => keys.map((key) => `${key} ${printed(values[key])}`).join(", ");
  return { before: side(one), after: side(other) };
}

function valuesOf(table: AttributeTable, set: number): Readonly<Record<string, unknown>> {
  const values: PathAttributes = table.decode(set);
  return { ...values, nextHop: table.nextHopOf(set), weight: table.weight[set] };
}

function printed(value: unknown): string {
  if (value === undefined) return "none";
  if (value instanceof Uint8Array || value instanceof Uint32Array) return `[${value.join(" ")}]`;
  return Array.isArray(value) ? value.map((one) => printed((one as { readonly asns?: unknown }).asns ?? one)).join(" ") : JSON.stringify(value);
}
