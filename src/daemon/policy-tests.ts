/** Runs the tests that stand in a document under its policies, with the engine that judges routes. */
import { ipBytes, printIp } from "#base/ip.ts";
import type { PathAttributes } from "#wire/bgp/attribute.ts";
import type { AsPath } from "#wire/bgp/as-path.ts";
import { printCommunity, printExtendedCommunity, printLargeCommunity } from "#wire/bgp/community.ts";
import { tryRoute, type TriedOutcome } from "#bgp/policy/try-route.ts";
import { type CommunityKind, readCommunity } from "#config/community-text.ts";
import { compilePolicy } from "#config/built-in-policies.ts";
import type { PolicyTestEntry } from "#config/policy-test-schema.ts";
import { type Finding, type Path, wrong } from "#config/problem.ts";
import type { Document } from "#config/schema.ts";

export interface TestedPolicies {
  /** How many tests there are. */
  readonly count: number;
  /** One for each thing that is not as expected. */
  readonly findings: readonly Finding[];
}

/** Where a test does not say which next hop, and what we call ourselves: addresses for documentation (RFC 5737, RFC 3849). */
const usual = { four: "192.0.2.1", six: "2001:db8::1" } as const;
const self = [ipBytes("192.0.2.254" as never), ipBytes("2001:db8::fe" as never)] as const;

export function runPolicyTests(document: Document): TestedPolicies {
  let count = 0;
  const findings = Object.entries(document.policies).flatMap(([name, { tests, rules }]) =>
    tests.flatMap((test, i) => {
      count++;
      const outcome = judged(document, name, test);
      return compare(test, outcome, rules.length, ["policies", name, "tests", i, "expect"]);
    }),
  );
  return { count, findings };
}

function judged(document: Document, name: string, { route, direction }: PolicyTestEntry): TriedOutcome {
  const { prefix, nextHop = prefix.includes(":") ? usual.six : usual.four, med, localPref, source, from } = route;
  const attributes: PathAttributes = {
    origin: 0,
    asPath: readAsPath(route.asPath),
    nextHop: ipBytes(nextHop as never),
    ...(med !== undefined && { med }),
    ...(localPref !== undefined && { localPref }),
    ...(route.communities?.length && { communities: Uint32Array.from(words("communities", route.communities)) }),
    ...(route.largeCommunities?.length && { largeCommunities: Uint32Array.from(words("largeCommunities", route.largeCommunities)) }),
    ...(route.extendedCommunities?.length && { extendedCommunities: octetsOf(words("extendedCommunities", route.extendedCommunities)) }),
  };
  const way = direction === "import" ? "import" : "export to outside";
  return tryRoute([compilePolicy(document, name)!], { prefix, attributes, source, from }, { ownAs: document.asn, way, self });
}

const words = (kind: CommunityKind, texts: readonly string[]): readonly number[] => texts.flatMap((text) => readCommunity(kind, text)!);
const octetsOf = (list: readonly number[]): Uint8Array =>
  Uint8Array.from(list.flatMap((word) => [word >>> 24, (word >>> 16) & 255, (word >>> 8) & 255, word & 255]));

/** The schema has seen to the form: numbers, and sets in braces. */
function readAsPath(text: string): AsPath {
  const path: { type: 1 | 2; asns: Uint32Array }[] = [];
  for (const piece of text.match(/\{[^}]*\}|\d+/g) ?? []) {
    const last = path.at(-1);
    if (piece.startsWith("{")) path.push({ type: 1, asns: Uint32Array.from(piece.match(/\d+/g)!.map(Number)) });
    else if (last?.type === 2) last.asns = Uint32Array.from([...last.asns, Number(piece)]);
    else path.push({ type: 2, asns: Uint32Array.of(Number(piece)) });
  }
  return path;
}

function compare({ expect, name }: PolicyTestEntry, { place, accepted }: TriedOutcome, rules: number, path: Path): readonly Finding[] {
  const wanted = typeof expect === "string" ? { then: expect } : expect,
    what = name === undefined ? "" : `${name}: `;
  const decided = place < rules ? `rule ${place + 1}` : "no rule, so by otherwise",
    verdict = accepted ? "accept" : "reject";
  const at = (key: string): Path => (typeof expect === "string" ? path : [...path, key]);
  if (wanted.then !== verdict) return [wrong(at("then"), `${what}expected ${wanted.then}, and it is ${verdict}ed by ${decided}`)];
  const { then: _, rule, ...others } = wanted as Exclude<typeof expect, string>;
  const byRule = rule !== undefined && rule !== place + 1 ? [wrong(at("rule"), `${what}expected rule ${rule} to decide, and it is ${decided}`)] : [];
  if (!accepted) return byRule;
  const differing = Object.entries(others).flatMap(([key, value]) => {
    const want = printWanted(key, value),
      got = printGot(key, accepted);
    return want === got ? [] : [wrong(at(key), `${what}expected ${key} ${want}, and it is ${got} after ${decided}`)];
  });
  return [...byRule, ...differing];
}

/** Lists in order, so that equal sets of communities are equal texts. */
const printList = (list: readonly string[]): string => (list.length === 0 ? "none" : list.toSorted().join(" "));

function printWanted(key: string, value: unknown): string {
  if (key === "asPath") return printAsPath(readAsPath(String(value)));
  if (!Array.isArray(value)) return String(value);
  return listText(key as CommunityKind, words(key as CommunityKind, value as string[]));
}

function printGot(key: string, { attributes, weight }: NonNullable<TriedOutcome["accepted"]>): string {
  switch (key) {
    case "weight":
      return String(weight);
    case "asPath":
      return printAsPath(attributes.asPath ?? []);
    case "nextHop":
      return attributes.nextHop ? printIp(attributes.nextHop) : "none";
    case "extendedCommunities": {
      const octets = attributes.extendedCommunities ?? new Uint8Array(0);
      return listText(
        key,
        Array.from({ length: octets.length / 4 }, (_, i) => new DataView(octets.buffer, octets.byteOffset).getUint32(4 * i)),
      );
    }
    case "communities":
    case "largeCommunities":
      return listText(key, [...(attributes[key] ?? [])]);
    default:
      return String(attributes[key as "med" | "localPref"] ?? "none");
  }
}

function listText(kind: CommunityKind, list: readonly number[]): string {
  if (kind === "communities") return printList(list.map(printCommunity));
  const width = kind === "largeCommunities" ? 3 : 2;
  return printList(
    Array.from({ length: list.length / width }, (_, i) => {
      const one = list.slice(i * width, (i + 1) * width);
      return width === 3 ? printLargeCommunity(one[0]!, one[1]!, one[2]!) : printExtendedCommunity(octetsOf(one));
    }),
  );
}

function printAsPath(path: AsPath): string {
  const text = path.map(({ type, asns }) => (type === 1 ? `{${[...asns].toSorted((a, b) => a - b).join(",")}}` : asns.join(" "))).join(" ");
  return text === "" ? "empty" : JSON.stringify(text);
}
