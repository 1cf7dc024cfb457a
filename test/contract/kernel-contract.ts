/** What every Kernel adapter must do (ports/kernel.ts), as one suite. */
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Ip, Mac } from "#base/ip.ts";
import {
  type FdbRow,
  keyOf,
  type LinkRow,
  type NeighbourRow,
  type RouteRow,
  type RowChange,
  type Rows,
  type TableName,
  tableNames,
  type Tables,
} from "#base/kernel-row.ts";
import type { Prefix } from "#base/prefix.ts";
import { isOnLink } from "#base/underlay.ts";
import type { Kernel, KernelEvent } from "#ports/kernel.ts";
import { until } from "./kernel-netns.ts";

/** A machine with `eth0`, 10.0.0.1/24 and fd00::1/64, and routes 10.9.0.0/16 via 10.0.0.254. */
export interface KernelHarness {
  readonly kernel: Kernel;
  /** Does something behind the kernel adapter's back. */
  deleteLink(name: string): void;
  deleteRoute(row: RouteRow): void;
  addForeignRoute(prefix: string, metric: number): void;
  hasForeignRoute(prefix: string, metric: number): boolean;
  dispose(): void;
}

export const vx: LinkRow = { name: "pw-vx43", vni: 43, local: "10.0.0.1" as Ip, port: 4789, mac: "02:00:00:00:43:01" as Mac, mtu: 1450, up: true };
const vx6: LinkRow = { name: "pw-vx44", vni: 44, local: "fd00::1" as Ip, port: 4789, mac: "02:00:00:00:44:01" as Mac, mtu: 1430, up: true };
const address = { device: "pw-vx43", address: "10.43.1.0" as Ip, length: 32 };
const address6 = { device: "pw-vx44", address: "fd43:1::" as Ip, length: 128 };
const neighbour: NeighbourRow = { device: "pw-vx43", address: "10.43.2.0" as Ip, mac: "02:00:00:00:43:02" as Mac };
const neighbour6: NeighbourRow = { device: "pw-vx44", address: "fd43:2::" as Ip, mac: "02:00:00:00:44:02" as Mac };
const fdb: FdbRow = { device: "pw-vx43", mac: "02:00:00:00:43:02" as Mac, destination: "10.0.0.2" as Ip };
const fdb6: FdbRow = { device: "pw-vx44", mac: "02:00:00:00:44:02" as Mac, destination: "fd00::2" as Ip };
const ip = (text: string): Ip => text as Ip;
const hop = (device: string, gateway: string, onlink = false) => ({ device, gateway: ip(gateway), onlink });
const route = (prefix: string, ...hops: RouteRow["hops"][number][]): RouteRow => ({ prefix: prefix as Prefix, metric: 117, hops });
const tunnel = route("10.43.2.0/24", hop("pw-vx43", "10.43.2.0", true));
const tunnel6 = route("fd43:2::/64", hop("pw-vx44", "fd43:2::", true));

export function kernelContract(open: () => Promise<KernelHarness>): void {
  let harness: KernelHarness;
  beforeEach(async () => {
    harness = await open();
  });
  afterEach(() => harness.dispose());

  const apply = (...changes: RowChange[]) => harness.kernel.apply(changes);
  const look = (): Promise<Tables> => harness.kernel.look(["net/ipv4/ip_forward"]);
  const devices = async (): Promise<void> => expect(await apply(set("link", vx), set("link", vx6))).toEqual([]);

  test("a machine without Podway shows nothing of ours", async () => {
    const { sysctl, ...tables } = await look();
    for (const rows of Object.values(tables)) expect([...rows]).toEqual([]);
    expect([...sysctl]).toEqual([["net/ipv4/ip_forward", { path: "net/ipv4/ip_forward", value: "0" }]]);
  });

  test("what is written is what is seen, in every table and both families", async () => {
    await devices();
    const rows: RowChange[] = [
      set("address", address),
      set("address", address6),
      set("neighbour", neighbour),
      set("neighbour", neighbour6),
      set("fdb", fdb),
      set("fdb", fdb6),
      set("route", tunnel),
      set("route", tunnel6),
      set("route", route("10.43.1.0/24")),
      set("route", route("fd43:1::/64")),
      set("route", route("10.50.0.0/16", hop("eth0", "10.0.0.7"))),
      set("route", route("fd50::/32", hop("eth0", "fd00::7"))),
      set("route", route("0.0.0.0/1", { device: "eth0", gateway: undefined, onlink: false })),
      set("sysctl", { path: "net/ipv4/ip_forward", value: "1" }),
    ];
    expect(await apply(...rows)).toEqual([]);
    const seen = await look();
    for (const change of [set("link", vx), set("link", vx6), ...rows])
      expect(rowOf(seen, change.table, change.key), `${change.table} ${change.key}`).toEqual(change.after);
    expect(tableNames.map((table) => seen[table].size)).toEqual([1, 2, 2, 2, 2, 7]);
  });

  test("writing the same again changes nothing", async () => {
    await devices();
    const rows = [set("address", address), set("neighbour", neighbour6), set("fdb", fdb)];
    await apply(...rows);
    const before = await look();
    expect(await apply(...rows)).toEqual([]);
    expect(await look()).toEqual(before);
  });

  test("a neighbour, a forwarding entry and a device's MTU and state are replaced in place", async () => {
    await devices();
    await apply(set("neighbour", neighbour), set("fdb", fdb), set("route", tunnel));
    const moved = { ...fdb, destination: ip("10.0.0.3") },
      renamed = { ...neighbour, mac: "02:00:00:00:43:99" as Mac },
      smaller = { ...vx, mtu: 1400 };
    expect(await apply(set("neighbour", renamed, neighbour), set("fdb", moved, fdb), set("link", smaller, vx))).toEqual([]);
    const seen = await look();
    expect(seen.link.get("pw-vx43")).toEqual(smaller);
    expect([...seen.neighbour.values()]).toEqual([renamed]);
    expect([...seen.fdb.values()]).toEqual([moved]);
    expect([...seen.route.values()]).toEqual([tunnel]);
  });

  test("another MAC on a device costs its neighbours, and only them", async () => {
    await devices();
    await apply(set("address", address), set("neighbour", neighbour), set("neighbour", neighbour6), set("fdb", fdb), set("route", tunnel));
    const renamed = { ...vx, mac: "02:00:00:00:43:77" as Mac };
    expect(await apply(set("link", renamed, vx))).toEqual([]);
    const seen = await look();
    expect(seen.link.get("pw-vx43")).toEqual(renamed);
    expect([...seen.neighbour.values()]).toEqual([neighbour6]);
    expect([seen.address.size, seen.fdb.size, seen.route.size]).toEqual([1, 1, 1]);
  });

  for (const [family, prefix, gateways] of [
    ["IPv4", "10.60.0.0/16", ["10.0.0.7", "10.0.0.8", "10.0.0.9"]],
    ["IPv6", "fd60::/32", ["fd00::7", "fd00::8", "fd00::9"]],
  ] as const) {
    test(`an ${family} route goes from one gateway to several, to others, to a blackhole and back`, async () => {
      const [a, b, c] = gateways.map((gateway) => hop("eth0", gateway)) as [RouteRow["hops"][0], RouteRow["hops"][0], RouteRow["hops"][0]];
      let before: RouteRow | undefined;
      for (const hops of [[a], [a, b], [b, c], [a, b, c], [c], [], [a, c], [], [b]]) {
        const after = route(prefix, ...hops);
        expect(await apply(set("route", after, before))).toEqual([]);
        expect([...(await look()).route.values()]).toEqual([after]);
        before = after;
      }
      expect(await apply(remove("route", before!))).toEqual([]);
      expect((await look()).route.size).toBe(0);
    });
  }

  test("removing works row by row and in one go, and removing what is not there succeeds", async () => {
    await devices();
    const rows = [set("address", address), set("neighbour", neighbour), set("fdb", fdb), set("route", tunnel), set("route", tunnel6)];
    await apply(...rows);
    const gone = rows.toReversed().map((change) => ({ ...change, before: change.after, after: undefined }) as RowChange);
    expect(await apply(...gone)).toEqual([]);
    const seen = await look();
    expect(tableNames.slice(2).map((table) => seen[table].size)).toEqual([0, 0, 0, 0]);
    expect(await apply(...gone, remove("link", vx), remove("link", vx), remove("neighbour", neighbour))).toEqual([]);
    expect([...(await look()).link.keys()]).toEqual(["pw-vx44"]);
  });

  test("a change that fails says why and does not stop the others", async () => {
    await devices();
    const astray = route("10.70.0.0/16", hop("eth7", "10.0.0.7"));
    const failures = await apply(set("neighbour", neighbour), set("route", astray), set("fdb", { ...fdb, device: "pw-vx99" }), set("route", tunnel));
    expect(failures.map(({ change, fault }) => [change.key, fault.code])).toEqual(
      [
        ["pw-vx99 02:00:00:00:43:02", "kernel.no-device"],
        ["10.70.0.0/16 metric 117", "kernel.no-device"],
      ].toReversed(),
    );
    expect(failures[0]!.fault.text).toContain("eth7");
    const seen = await look();
    expect([seen.neighbour.size, seen.route.size]).toEqual([1, 1]);
  });

  test("a route of somebody else with our prefix and metric is left alone, and we say so", async () => {
    for (const prefix of ["10.80.0.0/16", "fd80::/32"]) harness.addForeignRoute(prefix, 117);
    const failures = await apply(set("route", route("10.80.0.0/16")), set("route", route("fd80::/32")), set("route", route("10.81.0.0/16")));
    expect(failures.map(({ change, fault }) => [change.key, fault.code])).toEqual([
      ["10.80.0.0/16 metric 117", "kernel.foreign"],
      ["fd80::/32 metric 117", "kernel.foreign"],
    ]);
    expect(await apply(remove("route", route("10.80.0.0/16")), remove("route", route("fd80::/32")))).toEqual([]);
    expect(["10.80.0.0/16", "fd80::/32"].every((prefix) => harness.hasForeignRoute(prefix, 117))).toBe(true);
    expect([...(await look()).route.keys()]).toEqual(["10.81.0.0/16 metric 117"]);
  });

  test("another VNI, local address or port makes the device anew; what was on it is gone", async () => {
    await devices();
    await apply(set("address", address), set("neighbour", neighbour), set("fdb", fdb), set("route", tunnel));
    const moved = { ...vx, port: 4790, vni: 45 };
    expect(await apply(set("link", moved, vx))).toEqual([]);
    const seen = await look();
    expect(seen.link.get("pw-vx43")).toEqual(moved);
    expect([seen.address.size, seen.neighbour.size, seen.fdb.size, seen.route.size]).toEqual([0, 0, 0, 0]);
  });

  test("a device deleted behind our back takes its rows along", async () => {
    await devices();
    await apply(set("address", address), set("neighbour", neighbour), set("fdb", fdb), set("route", tunnel), set("route", tunnel6));
    harness.deleteLink("pw-vx43");
    const seen = await look();
    expect([...seen.link.keys(), ...seen.route.keys()]).toEqual(["pw-vx44", "fd43:2::/64 metric 117"]);
    expect([seen.address.size, seen.neighbour.size, seen.fdb.size]).toEqual([0, 0, 0]);
    expect(await apply(remove("address", address), remove("neighbour", neighbour), remove("fdb", fdb), remove("route", tunnel))).toEqual([]);
  });

  test("events tell of what others did, and end with the signal", async () => {
    await devices();
    const blackhole = route("10.90.0.0/16");
    await apply(set("route", blackhole));
    const stop = new AbortController(),
      heard: KernelEvent[] = [];
    const listening = (async () => {
      for await (const event of harness.kernel.events(stop.signal)) heard.push(event);
    })();
    const tells = (table: TableName) => () => heard.some((event) => event.kind === "changed" && event.tables.has(table));
    let tries = 0;
    await until("the deletion of a route of ours is told", async () => {
      if (tries++ % 20 === 0) {
        await apply(set("route", blackhole));
        harness.deleteRoute(blackhole);
      }
      return tells("route")();
    });
    harness.deleteLink("pw-vx43");
    await until("the deletion of our device is told", tells("link"));
    stop.abort();
    await listening;
  });

  test("switches that do not exist are left out of a look and fail when set", async () => {
    const row = { path: "net/ipv4/conf/nosuch/forwarding", value: "1" };
    expect((await harness.kernel.look([row.path])).sysctl.size).toBe(0);
    expect((await apply(set("sysctl", row))).map(({ fault }) => fault.code)).toEqual(["kernel.sysctl"]);
  });

  test("the underlay tells on-link, gateway, own and unknown addresses apart", async () => {
    const targets = ["10.0.0.2", "10.9.8.7", "10.0.0.1", "172.16.0.1", "fd00::9"].map(ip);
    const { paths, addresses, links } = await harness.kernel.underlay(targets);
    expect(paths.get(targets[0]!)).toEqual({ prefix: "10.0.0.0/24", hops: [{ device: "eth0", gateway: undefined }], local: false, mtu: 1500 });
    expect(paths.get(targets[1]!)).toEqual({ prefix: "10.9.0.0/16", hops: [{ device: "eth0", gateway: "10.0.0.254" }], local: false, mtu: 1500 });
    expect(targets.map((target) => (paths.has(target) ? isOnLink(paths.get(target)!) : undefined))).toEqual([true, false, false, undefined, true]);
    expect(paths.get(targets[2]!)!.local).toBe(true);
    expect(addresses.get(ip("10.0.0.1"))).toBe("eth0");
    expect(links.get("eth0")).toMatchObject({ name: "eth0", mtu: 1500, up: true, loopback: false });
  });

  test("two thousand rows in one go are all there", async () => {
    await devices();
    const changes: RowChange[] = [];
    for (let i = 0; i < 1000; i++) changes.push(set("neighbour", { ...neighbour, address: ip(`10.43.${i >> 8}.${i & 255}`) }));
    for (let i = 0; i < 1000; i++) changes.push(set("route", route(`10.44.${i >> 8}.${i & 255}/32`, hop("pw-vx43", `10.43.${i >> 8}.${i & 255}`, true))));
    expect(await apply(...changes)).toEqual([]);
    const seen = await look();
    expect([seen.neighbour.size, seen.route.size]).toEqual([1000, 1000]);
  });
}

export function set<T extends TableName>(table: T, after: Rows[T], before?: Rows[T]): RowChange {
  return { table, key: keyOf[table](after), before, after } as RowChange;
}
export function remove<T extends TableName>(table: T, before: Rows[T]): RowChange {
  return { table, key: keyOf[table](before), before, after: undefined } as RowChange;
}
function rowOf(tables: Tables, table: TableName, key: string): unknown {
  return tables[table].get(key);
}
