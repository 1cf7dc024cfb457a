/** Desired state out of leases, claims, routes and links: what is planned, how often, and in what order. */
import { describe, expect, test } from "vitest";
import { firstValueFrom, take, toArray } from "rxjs";
import type { Ip } from "#base/ip.ts";
import type { Lease } from "#base/lease.ts";
import type { Prefix } from "#base/prefix.ts";
import type { NodeSettings } from "#base/settings.ts";
import type { Underlay, UnderlayPath } from "#base/underlay.ts";
import type { OwnLease } from "#ipam/lease-terms.ts";
import { type Desired, NodeStreams, planNode } from "#daemon/streams.ts";
import { interpret } from "#daemon/document-text.ts";
import { until } from "./daemon-process.ts";
import { nodeDocument } from "./node-world.ts";

const text = nodeDocument(1790, "{ etcd: { endpoints: ['http://10.0.0.2:2379'] } }").replace(
  "nodes:\n",
  "  - { name: vx, cidr: 10.45.0.0/16, backend: vxlan, vni: 45, crossSubnet: false }\nnodes:\n",
);
const settings = ((): NodeSettings => {
  const read = interpret(text, "t.yaml", "n1");
  if (!read.ok) throw new Error(read.fault.text);
  return read.value.settings;
})();
const own = (pool: string, cidr: string | undefined, state: OwnLease["state"] = "held"): readonly [string, OwnLease] => [
  pool,
  { pool, state, cidr: cidr as Prefix | undefined, reason: "", confirmedAt: undefined, endsAt: undefined, fence: undefined },
];
const allHeld = new Map([own("routed", "10.42.1.0/24"), own("gw", "10.44.1.0/24"), own("vx", "10.45.1.0/24")]);
const lease = (pool: string, cidr: string, more: Partial<Lease> = {}): Lease => ({
  schema: 1,
  node: "n2",
  pool,
  cidr: cidr as Prefix,
  identity: "i2",
  address: "10.0.0.22" as Ip,
  createRevision: 1n,
  ...more,
});
const onLink: UnderlayPath = { prefix: "10.0.0.0/24" as Prefix, hops: [{ device: "eth0", gateway: undefined }], local: false, mtu: 1500 };
const local: UnderlayPath = { prefix: "10.0.0.21/32" as Prefix, hops: [{ device: "lo", gateway: undefined }], local: true, mtu: 65_536 };
const underlay: Underlay = {
  paths: new Map([
    ["10.0.0.21" as Ip, local],
    ["10.0.0.22" as Ip, onLink],
    ["10.0.0.23" as Ip, onLink],
  ]),
  addresses: new Map([["10.0.0.21" as Ip, "eth0"]]),
  links: new Map([["eth0", { name: "eth0", kind: "", mtu: 1500, up: true, loopback: false }]]),
  advertised: [],
};
const none = { settings, own: new Map<string, OwnLease>(), routes: new Map(), leases: [], underlay, inSync: true } as const;
const routesOf = ({ fabric }: Desired): Readonly<Record<string, readonly string[]>> =>
  Object.fromEntries([...fabric.route.values()].map(({ prefix, hops }) => [prefix, hops.map(({ gateway, device }) => `${gateway ?? "-"} ${device}`)]));

describe("one plan", () => {
  test("without claims forwarding and the empty device are wanted, and no route", () => {
    const { fabric } = planNode(none);
    expect([...fabric.sysctl.keys()]).toEqual(["net/ipv4/ip_forward"]);
    expect([fabric.route.size, fabric.address.size, fabric.link.size]).toEqual([0, 0, 1]);
  });

  test("each pool by its backend, side by side: BGP routes, direct routes, tunnels", () => {
    const routes = new Map([
      ["10.42.2.0/24" as Prefix, ["10.0.0.22" as Ip, "10.0.0.23" as Ip]],
      ["0.0.0.0/0" as Prefix, ["10.0.0.22" as Ip]],
    ]);
    const leases = [lease("routed", "10.42.2.0/24"), lease("gw", "10.44.2.0/24"), lease("vx", "10.45.2.0/24")];
    const planned = planNode({ ...none, own: allHeld, routes, leases });
    expect(routesOf(planned)).toMatchObject({
      "10.42.1.0/24": [],
      "10.42.2.0/24": ["10.0.0.22 eth0", "10.0.0.23 eth0"],
      "0.0.0.0/0": ["10.0.0.22 eth0"],
      "10.44.1.0/24": [],
      "10.44.2.0/24": ["10.0.0.22 eth0"],
      "10.45.2.0/24": [expect.stringContaining("pw-vx45")],
    });
    expect([...planned.fabric.link.keys()]).toEqual(["pw-vx45"]);
    expect(planned.fabric.fdb.size).toBe(1);
  });

  test("a claim that is lost takes its own rows away, the rest stays", () => {
    const lost = new Map([...allHeld, own("gw", undefined, "lost")]);
    const planned = planNode({ ...none, own: lost, leases: [lease("vx", "10.45.2.0/24")] });
    expect(Object.keys(routesOf(planned))).not.toContain("10.44.1.0/24");
    expect(Object.keys(routesOf(planned))).toContain("10.42.1.0/24");
    expect(planned.fabric.link.size).toBe(1);
  });

  test("leases of a routed pool program nothing: BGP does", () => {
    expect(routesOf(planNode({ ...none, own: allHeld, leases: [lease("routed", "10.42.2.0/24")] }))).not.toHaveProperty("10.42.2.0/24");
  });

  test("whether rows may be swept is handed through", () => {
    expect([planNode({ ...none, inSync: false }).inSync, planNode(none).inSync]).toEqual([false, true]);
  });
});

describe("the streams", () => {
  interface Asked {
    readonly targets: readonly Ip[];
    readonly afresh: boolean;
  }
  const watched = (): { readonly streams: NodeStreams; readonly plans: Desired[]; readonly asked: Asked[]; stop(): void } => {
    const streams = new NodeStreams(settings),
      plans: Desired[] = [],
      asked: Asked[] = [];
    const subscription = streams
      .desired$((targets, afresh) => {
        asked.push({ targets: [...targets], afresh });
        return Promise.resolve(underlay);
      })
      .subscribe((plan) => plans.push(plan));
    return { streams, plans, asked, stop: () => subscription.unsubscribe() };
  };
  const leasesOf = (count: number): ReadonlyMap<string, Lease> =>
    new Map(Array.from({ length: count }, (_, i) => [`leases/gw/${i}`, lease("gw", `10.44.${10 + (i % 200)}.0/24`)]));

  test("a burst of events is one plan, of the last of everything", async () => {
    const { streams, plans, stop } = watched();
    streams.own$.next(allHeld);
    for (let i = 1; i <= 100; i++) streams.leases$.next(leasesOf(i));
    streams.routes$.next(new Map([["10.42.9.0/24" as Prefix, ["10.0.0.22" as Ip]]]));
    await until("a plan", () => plans.length > 0);
    expect(plans).toHaveLength(1);
    expect(Object.keys(routesOf(plans[0]!))).toContain("10.44.109.0/24");
    expect(Object.keys(routesOf(plans[0]!))).toContain("10.42.9.0/24");
    stop();
  });

  test("events that never end do not keep a plan from being made, and the last one gets its own", async () => {
    const { streams, plans, stop } = watched();
    streams.own$.next(allHeld);
    for (let i = 1; i <= 150; i++) {
      streams.leases$.next(leasesOf(i));
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    expect(plans.length).toBeGreaterThan(3);
    expect(plans.length).toBeLessThan(100);
    await until("the last", () => Object.keys(routesOf(plans.at(-1)!)).length === 150 + 3);
    stop();
  });

  test("plans never overlap: the next waits for a slow look beneath, and then sees all that came meanwhile", async () => {
    const streams = new NodeStreams(settings),
      plans: Desired[] = [],
      answers: (() => void)[] = [];
    let open = 0,
      most = 0;
    const subscription = streams
      .desired$(async () => {
        most = Math.max(most, ++open);
        await new Promise<void>((resolve) => answers.push(resolve));
        open--;
        return underlay;
      })
      .subscribe((plan) => plans.push(plan));
    streams.own$.next(allHeld);
    await until("the first look", () => answers.length === 1);
    for (let i = 1; i <= 20; i++) {
      streams.leases$.next(leasesOf(i));
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    expect([answers.length, plans.length]).toEqual([1, 0]);
    answers[0]!();
    await until("the second look", () => answers.length === 2);
    answers[1]!();
    await until("the second plan", () => plans.length === 2);
    expect(Object.keys(routesOf(plans[1]!)).length).toBe(20 + 3);
    expect(most).toBe(1);
    subscription.unsubscribe();
  });

  test("what moved beneath is looked at afresh, once", async () => {
    const { streams, asked, plans, stop } = watched();
    await until("the first plan", () => plans.length === 1);
    streams.underlayMoved$.next();
    await until("the second", () => plans.length === 2);
    streams.own$.next(allHeld);
    await until("the third", () => plans.length === 3);
    expect(asked.map(({ afresh }) => afresh)).toEqual([false, true, false]);
    streams.leases$.next(new Map([["leases/gw/1", lease("gw", "10.44.2.0/24")]]));
    await until("the fourth", () => plans.length === 4);
    expect(asked.at(-1)).toEqual({ targets: ["10.0.0.22"], afresh: false });
    stop();
  });

  test("rows may be swept only when leases, claims and routes are all known", async () => {
    const { streams, plans, stop } = watched();
    const last = async (count: number): Promise<boolean> => {
      await until(`plan ${count}`, () => plans.length === count);
      return plans.at(-1)!.inSync;
    };
    streams.routesInSync$.next(true);
    expect(await last(1)).toBe(false);
    streams.leases$.next(new Map());
    expect(await last(2)).toBe(true);
    streams.own$.next(new Map([own("gw", undefined, "asking")]));
    expect(await last(3)).toBe(false);
    streams.own$.next(allHeld);
    expect(await last(4)).toBe(true);
    streams.routesInSync$.next(false);
    expect(await last(5)).toBe(false);
    stop();
  });

  test("announced are the CIDRs of routed pools that may be used, told only when they change", async () => {
    const streams = new NodeStreams(settings);
    const told = firstValueFrom(streams.announced$().pipe(take(3), toArray()));
    streams.own$.next(allHeld);
    streams.own$.next(new Map([...allHeld, own("gw", "10.44.5.0/24")]));
    streams.own$.next(new Map([...allHeld, own("routed", "10.42.1.0/24", "doubtful")]));
    streams.own$.next(new Map([...allHeld, own("routed", undefined, "lost")]));
    expect((await told).map((prefixes) => [...prefixes])).toEqual([[], ["10.42.1.0/24"], []]);
  });
});
