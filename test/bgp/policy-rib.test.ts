/** Policies in a RIB: on clients too, changed while sessions run, and other ones tried without effect. */
import { expect, test } from "vitest";
import type { PolicyRule, PolicySettings } from "#base/policy-settings.ts";
import type { Prefix } from "#base/prefix.ts";
import { compareJudgements, type Judgement, PolicyTrial } from "#bgp/policy/trial.ts";
import { session } from "./settings-of.ts";
import { RibPeers, sequence, termsOf, v4Hop } from "./rib-peers.ts";

const rule = (more: Partial<PolicyRule>): PolicyRule => ({ when: {}, then: "accept", set: {}, ...more });
const policy = (name: string, otherwise: "accept" | "reject", ...rules: PolicyRule[]): PolicySettings => ({ name, rules, otherwise });
const within = (prefix: string): PolicyRule["when"] => ({ prefixes: [{ prefix: prefix as Prefix, ge: 8, le: 32 }] });
const reject10 = policy("some", "accept", rule({ when: within("10.0.0.0/8"), then: "reject" }));
const routeOf = (last: number, ...path: number[]) => ({ origin: 0, asPath: sequence(...path), nextHop: v4Hop(last), localPref: 100 }) as const;

test("a client's import and export policies count; a client without any is believed and told everything", () => {
  const world = new RibPeers({ policies: { some: reject10 } });
  world.up(1, termsOf(1, "client"), { import: ["some"] });
  world.up(2, termsOf(2, "client"));
  world.up(3, termsOf(3, "client"), { export: ["some"] });
  world.announce(1, routeOf(1, 7), "10.1.0.0/16", "192.0.2.0/24");
  world.announce(2, routeOf(2, 8), "10.2.0.0/16");
  world.settle();
  expect([1, 2, 3].map((peer) => [...world.told(peer).keys()].toSorted())).toEqual([["10.2.0.0/16"], ["192.0.2.0/24"], ["192.0.2.0/24"]]);
  expect(world.rib.refusedOf(1)).toBe(1);
  expect(world.rib.refusalsOf("10.1.0.0/16" as Prefix)).toEqual([{ peer: 1, text: "rejected by policy some, rule 1" }]);
  expect(world.rib.refusalsOf("10.2.0.0/16" as Prefix)).toEqual([]);
  expect(world.rib.policies.hits()).toEqual([
    { policy: "some", way: "import", rules: [1], otherwise: 1 },
    { policy: "some", way: "export", rules: [1], otherwise: 1 },
  ]);
  expect(world.rib.explainExport(3, 0, world.rib.ribs[0].prefixes.findText("10.2.0.0/16"))).toBe("rejected by policy some, rule 1");
});

test("the heavier path wins over LOCAL_PREF, and the weight is told to nobody", () => {
  const world = new RibPeers({ policies: { heavy: policy("heavy", "accept", rule({ when: { from: ["two"] }, set: { weight: 9 } })) } });
  world.rib.peers.names[1] = ["one"];
  world.rib.peers.names[2] = ["two"];
  for (const peer of [1, 2]) world.up(peer, termsOf(peer, "client"), { import: ["heavy"] });
  world.up(3, termsOf(3, "client"));
  world.announce(1, { ...routeOf(1, 7), localPref: 500 }, "192.0.2.0/24");
  world.announce(2, routeOf(2, 7, 8, 9), "192.0.2.0/24");
  world.settle();
  const { ribs, peers, attributes } = world.rib,
    best = ribs[0].bestOf(ribs[0].prefixes.findText("192.0.2.0/24"));
  expect([ribs[0].adjRibIn.peer[best], attributes.weight[ribs[0].adjRibIn.attributes[best]!], peers.names[2]]).toEqual([2, 9, ["two"]]);
  expect(world.told(3).get("192.0.2.0/24")).not.toContain("weight");
});

test("a policy that changes withdraws what it denies and tells what it allows, and no session ends", () => {
  const world = new RibPeers({ policies: { some: reject10 } });
  world.up(1, termsOf(1, "client"));
  world.up(2, termsOf(2, "client"), { export: ["some"] });
  world.announce(1, routeOf(1, 7), "10.1.0.0/16", "192.0.2.0/24");
  world.settle();
  expect([...world.told(2).keys()]).toEqual(["192.0.2.0/24"]);
  world.rib.usePolicies({ some: policy("some", "accept", rule({ when: within("192.0.2.0/24"), then: "reject" })) });
  const settings = { ...session, remoteAs: 65_000, role: "client" as const };
  expect(world.rib.reconfigure((peer) => (peer === 2 ? { ...settings, export: ["some"] } : settings))).toEqual({ ask: [], reset: [] });
  world.settle();
  expect([...world.told(2).keys()]).toEqual(["10.1.0.0/16"]);
});

test("other policies tried: counted and named, without effect", () => {
  const before = { some: policy("some", "accept", rule({ when: within("10.0.0.0/8"), then: "reject" }), rule({ set: { med: { by: 10 } } })) },
    after = { some: policy("some", "accept", rule({ when: within("192.0.2.0/24"), then: "reject" }), rule({ set: { med: { by: 20 } } })) };
  const world = new RibPeers({ policies: before });
  world.up(1, termsOf(1, "client"), { import: ["some"] });
  world.up(2, termsOf(2, "client"), { export: ["some"] });
  world.up(3, termsOf(3, "client"));
  world.announce(1, routeOf(1, 7), "10.1.0.0/16", "192.0.2.0/24", "198.51.100.0/24");
  world.announce(3, routeOf(3, 7), "10.3.0.0/16");
  world.settle();
  const live = world.live(),
    told = [...world.told(2)],
    hits = JSON.stringify(world.rib.policies.hits());
  const tried = (peer: number, way: "import" | "export", names: readonly string[]): string[] => {
    const side = { ...session, [way]: names };
    const trial = new PolicyTrial(world.rib, peer, way, { policies: before, session: side }, { policies: after, session: side }),
      out: string[] = [];
    const take = (one: Judgement): void => {
      const { before: was, after: is } = compareJudgements(world.rib.attributes, one);
      if (one.differs) out.push(`${one.prefix()}: ${was} → ${is}`);
    };
    while (trial.step(2, take));
    trial.close();
    return out.toSorted();
  };
  expect(tried(1, "import", ["some"])).toEqual(["192.0.2.0/24: accepted → rejected", "198.51.100.0/24: med 20 → med 30"]);
  expect(tried(2, "export", ["some"])).toEqual(["10.3.0.0/16: rejected → accepted", "192.0.2.0/24: accepted → rejected", "198.51.100.0/24: med 20 → med 30"]);
  expect(tried(3, "import", [])).toEqual([]);
  world.settle();
  expect([world.live(), [...world.told(2)], JSON.stringify(world.rib.policies.hits())]).toEqual([live, told, hits]);
});
