import { describe, expect, test } from "vitest";
import { type ForwardChain, type ForwardMatch, type ForwardRule, type ForwardView, prefixRange } from "#base/forward-chain.ts";
import { findForwardDrops, forwardProbes } from "#overlay/forward-drops.ts";
import { prefix } from "./world.ts";

const probes = forwardProbes([{ name: "overlay", cidr: prefix("10.43.0.0/16") }], new Map([["overlay", prefix("10.43.1.0/24")]]));

const chain = (name: string, policy: ForwardChain["policy"], ...rules: ForwardRule[]): ForwardChain => ({ family: "ip", table: "filter", name, policy, rules });
const view = (...chains: ForwardChain[]): ForwardView => ({ chains, sets: new Map() });
const from = (text: string, negated = false): ForwardMatch => address("source", text, negated);
const to = (text: string): ForwardMatch => address("destination", text, false);
const address = (side: "source" | "destination", text: string, negated: boolean): ForwardMatch => ({
  kind: "address",
  side,
  family: text.includes(":") ? 6 : 4,
  negated,
  within: [prefixRange(prefix(text))],
});
const rule = (kind: "accept" | "drop" | "return" | "none", ...matches: ForwardMatch[]): ForwardRule => ({ matches, verdict: { kind } });
const jump = (kind: "jump" | "goto", chain: string, ...matches: ForwardMatch[]): ForwardRule => ({ matches, verdict: { kind, chain } });
const unknown: ForwardMatch = { kind: "unknown" };
const isDropped = (...chains: ForwardChain[]): boolean => findForwardDrops(view(...chains), probes).length > 0;

describe("does this chain drop pods' packets?", () => {
  const cases: readonly (readonly [boolean, string, readonly ForwardChain[]])[] = [
    [false, "no rule, policy accept", [chain("f", "accept")]],
    [true, "no rule, policy drop", [chain("f", "drop")]],
    [false, "policy drop, pods' CIDR accepted both ways", [chain("f", "drop", rule("accept", from("10.43.0.0/16")), rule("accept", to("10.43.0.0/16")))]],
    [true, "policy drop, only what leaves this node is accepted", [chain("f", "drop", rule("accept", from("10.43.1.0/24"), to("10.43.0.0/16")))]],
    [true, "policy drop, only a part of the CIDR is accepted", [chain("f", "drop", rule("accept", from("10.43.1.0/25")))]],
    [false, "policy drop, all accepted", [chain("f", "drop", rule("accept"))]],
    [true, "policy drop, accepted under a condition nobody understands", [chain("f", "drop", rule("accept", unknown))]],
    [false, "policy accept, dropped under a condition nobody understands", [chain("f", "accept", rule("drop", from("10.43.0.0/16"), unknown))]],
    [true, "policy accept, dropped by address", [chain("f", "accept", rule("drop", from("10.0.0.0/8")))]],
    [false, "dropped by another address", [chain("f", "accept", rule("drop", from("10.44.0.0/16")))]],
    [true, "everything but another network is dropped", [chain("f", "accept", rule("drop", from("10.44.0.0/16", true)))]],
    [false, "everything but ours is dropped", [chain("f", "accept", rule("drop", from("10.43.0.0/16", true)))]],
    [true, "answers alone are accepted", [chain("f", "drop", rule("accept", { kind: "connection", states: ["established", "related"], negated: false }))]],
    [false, "what is no answer is accepted", [chain("f", "drop", rule("accept", { kind: "connection", states: ["established"], negated: true }))]],
    [false, "what is invalid is dropped", [chain("f", "accept", rule("drop", { kind: "connection", states: ["invalid"], negated: false }))]],
    [false, "our devices are accepted", [chain("f", "drop", rule("accept", { kind: "device", names: ["pw-*"], negated: false }))]],
    [true, "another device is accepted", [chain("f", "drop", rule("accept", { kind: "device", names: ["docker0"], negated: false }))]],
    [true, "the other family is accepted", [chain("f", "drop", rule("accept", { kind: "family", family: 6, negated: false }))]],
    [false, "the family is accepted", [chain("f", "drop", rule("accept", { kind: "family", family: 4, negated: false }))]],
    [true, "accepted by an address of the other family", [chain("f", "drop", rule("accept", from("::/0", true)))]],
    [true, "a rule that only counts", [chain("f", "drop", rule("none"))]],
    [false, "accepted in a chain it jumps to", [chain("f", "drop", jump("jump", "x")), chain("x", undefined, rule("accept"))]],
    [true, "a jump that comes back", [chain("f", "drop", jump("jump", "x")), chain("x", undefined, rule("return"), rule("accept"))]],
    [false, "a jump that comes back, accepted after", [chain("f", "drop", jump("jump", "x"), rule("accept")), chain("x", undefined, rule("return"))]],
    [true, "goto does not come back", [chain("f", "drop", jump("goto", "x"), rule("accept")), chain("x", undefined, rule("return"))]],
    [true, "dropped in a chain it goes to", [chain("f", "accept", jump("goto", "x")), chain("x", undefined, rule("drop"))]],
    [false, "a chain nobody jumps to", [chain("f", "accept"), chain("x", undefined, rule("drop"))]],
    [true, "a jump to a chain that was not read", [chain("f", "drop", jump("jump", "gone"))]],
    [true, "chains that jump in a circle", [chain("f", "drop", jump("jump", "x")), chain("x", undefined, jump("jump", "x"))]],
    [true, "one chain accepts, the next drops: both are asked", [chain("f", "accept", rule("accept")), chain("g", "drop")]],
    [false, "a chain of the other family", [{ ...chain("f", "drop"), family: "ip6" }]],
    [true, "a chain of both families", [{ ...chain("f", "drop"), family: "inet" }]],
  ];
  for (const [expected, what, chains] of cases) test(`${expected ? "yes" : "no"}: ${what}`, () => expect(isDropped(...chains)).toBe(expected));
});

test("a named set is asked; one that could not be read accepts nothing", () => {
  const asks = chain("f", "drop", rule("accept", { kind: "address", side: "source", family: 4, negated: false, within: { set: "trusted" } }));
  expect(findForwardDrops({ chains: [asks], sets: new Map([["ip filter trusted", [prefixRange(prefix("10.0.0.0/8"))]]]) }, probes)).toEqual([]);
  expect(findForwardDrops({ chains: [asks], sets: new Map() }, probes)).toHaveLength(1);
});

test("one sentence per chain, with what to do; Docker's own chain for others where there is one", () => {
  expect(findForwardDrops(view(chain("FORWARD", "drop")), probes)).toEqual([
    "chain FORWARD of table ip filter drops forwarded packets of pods (10.43.0.0/16) by its policy, and no rule of it surely accepts them; let them through, " +
      "for example: nft insert rule ip filter FORWARD ip saddr 10.43.0.0/16 accept; nft insert rule ip filter FORWARD ip daddr 10.43.0.0/16 accept",
  ]);
  const docker = findForwardDrops(view(chain("FORWARD", "drop", jump("jump", "DOCKER-USER")), chain("DOCKER-USER", undefined)), probes);
  expect(docker[0]).toContain("nft insert rule ip filter DOCKER-USER ip saddr");
  expect(findForwardDrops(view(chain("FORWARD", "accept", rule("drop"))), probes)[0]).toContain("by a rule;");
});

test("a node that holds nothing asks nothing", () => {
  expect(forwardProbes([{ name: "overlay", cidr: prefix("10.43.0.0/16") }], new Map())).toEqual([]);
  expect(findForwardDrops(view(chain("FORWARD", "drop")), [])).toEqual([]);
});
