import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Delta } from "#base/delta.ts";
import type { RowChange } from "#base/kernel-row.ts";
import { emptyFabric } from "#overlay/fabric.ts";
import { countDiffering, didChange, newDeltas, passStages, sawAll, wantAll } from "#overlay/plan.ts";
import { mergePlanned } from "#overlay/fabric.ts";
import { planForwarding } from "#overlay/forwarding.ts";
import { planVxlan } from "#overlay/vxlan.ts";
import { ip, lease, pool, prefix, underlay } from "./world.ts";

const self = { node: "n1", address: ip("10.0.0.1"), address6: undefined };
const fabric = mergePlanned([
  planForwarding(new Set([4]), underlay()),
  planVxlan({ self, pool: pool(), own: prefix("10.43.1.0/24"), leases: [lease("n2", "10.43.2.0/24", "10.0.0.2")], underlay: underlay(), metric: 117 }),
]).fabric;

const names = (changes: Iterable<readonly RowChange[]>): readonly string[] =>
  Array.from(changes, (stage) => `${stage[0]!.after === undefined ? "remove" : "set"} ${stage[0]!.table} ${stage.length}`);

describe("a pass", () => {
  test("sets in order of need", () => {
    const deltas = newDeltas();
    wantAll(deltas, fabric);
    expect(names(passStages(deltas, true))).toEqual(["set sysctl 1", "set link 1", "set address 1", "set neighbour 1", "set fdb 1", "set route 2"]);
  });

  test("removes in reverse, and not before every source is in sync; switches stay", () => {
    const deltas = newDeltas();
    sawAll(deltas, fabric);
    wantAll(deltas, emptyFabric);
    expect(names(passStages(deltas, false))).toEqual([]);
    expect(names(passStages(deltas, true))).toEqual(["remove route 2", "remove fdb 1", "remove neighbour 1", "remove address 1", "remove link 1"]);
    expect([countDiffering(deltas, false), countDiffering(deltas, true)]).toEqual([0, 6]);
  });

  test("takes in what happened since it began: a device made anew has nothing on it", () => {
    const deltas = newDeltas();
    sawAll(deltas, { ...fabric, link: new Map() });
    wantAll(deltas, fabric);
    const stages = passStages(deltas, true),
      first = stages.next().value!;
    expect(first.map((change) => change.table)).toEqual(["link"]);
    for (const change of first) didChange(deltas, change);
    sawAll(deltas, { ...fabric, address: new Map(), neighbour: new Map(), fdb: new Map(), route: new Map() });
    expect(names(stages)).toEqual(["set address 1", "set neighbour 1", "set fdb 1", "set route 2"]);
  });

  test("writes nothing when the kernel is as it should be", () => {
    const deltas = newDeltas();
    expect(sawAll(deltas, fabric)).toBeGreaterThan(0);
    wantAll(deltas, fabric);
    expect([...passStages(deltas, true)]).toEqual([]);
    expect(sawAll(deltas, fabric)).toBe(0);
  });

  test("a switch that somebody set to the value we spare is left alone", () => {
    const deltas = newDeltas(),
      row = { path: "net/ipv6/conf/eth0/accept_ra", value: "2", unless: "0" };
    wantAll(deltas, { ...emptyFabric, sysctl: new Map([[row.path, row]]) });
    for (const [value, stages] of [
      ["0", 0],
      ["1", 1],
      ["2", 0],
    ] as const) {
      sawAll(deltas, { ...emptyFabric, sysctl: new Map([[row.path, { path: row.path, value }]]) });
      expect([...passStages(deltas, true)].length, `accept_ra ${value}`).toBe(stages);
    }
  });
});

describe("the difference", () => {
  test("closes: after doing what it says, nothing differs, whatever the two sides were", () => {
    const side = fc.dictionary(fc.constantFrom("a", "b", "c", "d", "e"), fc.nat(3)).map((rows) => new Map(Object.entries(rows)));
    fc.assert(
      fc.property(side, side, (desired, actual) => {
        const delta = new Delta<number>((a, b) => a === b),
          world = new Map(actual);
        delta.saw(actual);
        delta.want(desired);
        for (const { key, before, after } of [...delta.toSet(), ...delta.toRemove()]) {
          expect(before).toBe(world.get(key));
          if (after === undefined) world.delete(key);
          else world.set(key, after);
          delta.did(key, after);
          expect(delta.isSettled(key)).toBe(true);
        }
        expect(world).toEqual(desired);
        expect([...delta.toSet(), ...delta.toRemove()]).toEqual([]);
        expect(delta.saw(world)).toBe(0);
      }),
    );
  });

  test("counts what others changed, added and removed", () => {
    const delta = new Delta<number>((a, b) => a === b);
    delta.saw(
      new Map([
        ["a", 1],
        ["b", 2],
        ["c", 3],
      ]),
    );
    expect(
      delta.saw(
        new Map([
          ["a", 1],
          ["b", 5],
          ["d", 4],
        ]),
      ),
    ).toBe(3);
  });
});
