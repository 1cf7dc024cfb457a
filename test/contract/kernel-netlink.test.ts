import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openNetlinkKernel } from "../../src/adapters/netlink-kernel.ts";
import { KoffiTransport } from "../../src/adapters/netlink-socket.ts";
import type { NetlinkTransport } from "../../src/adapters/netlink-transport.ts";
import { NodeNetlinkTransport } from "../../src/adapters/node-netlink-transport.ts";
import { kernelContract, set, vx } from "./kernel-contract.ts";
import { kernelMissing, Namespace } from "./kernel-netns.ts";
import type { Ip, Mac } from "#base/ip.ts";
import type { Prefix } from "#base/prefix.ts";

let label = 0;

/** The machine the contract speaks of, in a namespace of its own; this thread stands in it until `leave`. */
function machine(): { readonly namespace: Namespace; leave(): void } {
  const namespace = new Namespace(`c${label++}`);
  for (const line of [
    "link add eth0 type veth peer name eth1",
    "link set eth0 up",
    "link set eth1 up",
    "addr add 10.0.0.1/24 dev eth0",
    "addr add fd00::1/64 dev eth0 nodad",
    "route add 10.9.0.0/16 via 10.0.0.254",
  ])
    namespace.ip(line);
  const back = namespace.enter();
  return { namespace, leave: () => (back(), namespace.remove()) };
}

const transports: Readonly<Record<string, () => NetlinkTransport>> = { koffi: () => new KoffiTransport(), "npm netlink": () => new NodeNetlinkTransport() };

// npm netlink cannot listen, so it has no events of its own: that part of the contract is koffi's.
describe.skipIf(kernelMissing !== undefined)(`the real kernel over koffi keeps the Kernel contract${kernelMissing ?? ""}`, () => {
  kernelContract(async () => {
    const { namespace, leave } = machine();
    const kernel = await openNetlinkKernel(117, new KoffiTransport());
    return {
      kernel,
      deleteLink: (name) => namespace.ip(`link delete ${name}`),
      deleteRoute: (row) => namespace.ip(`route del blackhole ${row.prefix} metric ${row.metric}`),
      addForeignRoute: (prefix, metric) => namespace.ip(`route add blackhole ${prefix} metric ${metric} proto static`),
      hasForeignRoute: (prefix, metric) =>
        namespace.json(`${prefix.includes(":") ? "-6" : "-4"} route show ${prefix} proto static`).some((row) => row["metric"] === metric),
      dispose: () => (kernel.close(), leave()),
    };
  });
});

describe.skipIf(kernelMissing !== undefined)(`iproute2 sees what we see${kernelMissing ?? ""}`, () => {
  let place: ReturnType<typeof machine>;
  beforeAll(() => void (place = machine()));
  afterAll(() => place.leave());

  for (const [name, open] of Object.entries(transports)) {
    test(`over ${name}: link, address, neighbour, fdb and routes`, async () => {
      const kernel = await openNetlinkKernel(117, open());
      expect(await kernel.apply([set("link", vx)])).toEqual([]);
      const ecmp = {
        prefix: "10.60.0.0/16" as Prefix,
        metric: 117,
        hops: ["10.0.0.7", "10.0.0.8"].map((gateway) => ({ device: "eth0", gateway: gateway as Ip, onlink: false })),
      };
      const changes = [
        set("address", { device: vx.name, address: "10.43.1.0" as Ip, length: 32 }),
        set("neighbour", { device: vx.name, address: "10.43.2.0" as Ip, mac: "02:00:00:00:43:02" as Mac }),
        set("fdb", { device: vx.name, mac: "02:00:00:00:43:02" as Mac, destination: "10.0.0.2" as Ip }),
        set("route", { prefix: "10.43.2.0/24" as Prefix, metric: 117, hops: [{ device: vx.name, gateway: "10.43.2.0" as Ip, onlink: true }] }),
        set("route", { prefix: "10.43.1.0/24" as Prefix, metric: 117, hops: [] }),
        set("route", ecmp),
      ];
      expect(await kernel.apply(changes)).toEqual([]);
      const { namespace } = place;
      const [link] = namespace.json("link show pw-vx43") as [Record<string, unknown>];
      expect(link).toMatchObject({
        ifalias: "podway",
        mtu: 1450,
        address: "02:00:00:00:43:01",
        linkinfo: { info_kind: "vxlan", info_data: { id: 43, local: "10.0.0.1", port: 4789, learning: false } },
      });
      expect(link["flags"]).toContain("UP");
      expect(namespace.json("addr show dev pw-vx43")[0]!["addr_info"]).toMatchObject([{ local: "10.43.1.0", prefixlen: 32 }]);
      expect(namespace.json("neigh show dev pw-vx43")).toMatchObject([{ dst: "10.43.2.0", lladdr: "02:00:00:00:43:02", state: ["PERMANENT"] }]);
      expect(namespace.bridgeJson("fdb show dev pw-vx43")).toMatchObject([{ mac: "02:00:00:00:43:02", dst: "10.0.0.2", state: "permanent" }]);
      expect(namespace.json("route show proto 117")).toMatchObject([
        { type: "blackhole", dst: "10.43.1.0/24", metric: 117 },
        { dst: "10.43.2.0/24", gateway: "10.43.2.0", dev: "pw-vx43", metric: 117, flags: ["onlink"] },
        {
          dst: "10.60.0.0/16",
          metric: 117,
          nexthops: [
            { gateway: "10.0.0.7", dev: "eth0" },
            { gateway: "10.0.0.8", dev: "eth0" },
          ],
        },
      ]);
      expect(
        await kernel.apply([
          ...changes.map((change) => ({ ...change, before: change.after, after: undefined }) as typeof change),
          { table: "link", key: vx.name, before: vx, after: undefined },
        ]),
      ).toEqual([]);
      expect(namespace.json("route show proto 117")).toEqual([]);
      kernel.close();
    });
  }

  test("both transports show one view of the same kernel", async () => {
    const ours = await openNetlinkKernel(117, transports["koffi"]!()),
      theirs = await openNetlinkKernel(117, transports["npm netlink"]!());
    await theirs.apply([set("link", vx), set("neighbour", { device: vx.name, address: "10.43.2.0" as Ip, mac: "02:00:00:00:43:02" as Mac })]);
    const refused = set("route", { prefix: "10.99.0.0/16" as Prefix, metric: 117, hops: [{ device: "eth0", gateway: "172.31.0.1" as Ip, onlink: false }] });
    const [a] = await ours.apply([refused]),
      [b] = await theirs.apply([refused]);
    expect([a!.fault.code, b!.fault.code]).toEqual(["kernel.refused", "kernel.refused"]);
    expect(a!.fault.text).toBe("route 10.99.0.0/16 metric 117: Nexthop has invalid gateway (ENETUNREACH)");
    expect(await ours.look(["net/ipv4/ip_forward"])).toEqual(await theirs.look(["net/ipv4/ip_forward"]));
    const targets = ["10.0.0.2", "10.9.1.1", "192.0.2.1"] as Ip[];
    expect(await ours.underlay(targets)).toEqual(await theirs.underlay(targets));
    await ours.apply([{ table: "link", key: vx.name, before: vx, after: undefined }]);
    ours.close();
    theirs.close();
  });

  test("a transport that cannot listen says within seconds that something may have changed", async () => {
    const kernel = await openNetlinkKernel(117, transports["npm netlink"]!()),
      stop = new AbortController();
    const heard: unknown[] = [];
    for await (const event of kernel.events(stop.signal)) {
      heard.push(event);
      stop.abort();
    }
    expect(heard).toEqual([{ kind: "overrun" }]);
    kernel.close();
  });

  test("a closed kernel fails with a fault and touches no other socket", async () => {
    const kernel = await openNetlinkKernel(117);
    kernel.close();
    await expect(kernel.look([])).rejects.toThrow("EBADF");
  });

  test("a device of our name that is not ours is left alone, and one that holds our VNI is named", async () => {
    const kernel = await openNetlinkKernel(117);
    place.namespace.ip("link add pw-vx43 type vxlan id 9 dstport 4789 local 10.0.0.1");
    place.namespace.ip("link add flannel.1 type vxlan id 44 dstport 4789 local 10.0.0.1");
    const failures = await kernel.apply([set("link", vx), set("link", { ...vx, name: "pw-vx44", vni: 44 })]);
    expect(failures.map(({ fault }) => fault.text)).toEqual([
      'link pw-vx43: a device of that name is there and is not Podway\'s; remove it with "ip link delete pw-vx43".',
      "link pw-vx44: device flannel.1 has VNI 44 on UDP port 4789; remove it, or give the pool another vni or port.",
    ]);
    expect((await kernel.look([])).link.size).toBe(0);
    expect(await kernel.apply([{ table: "link", key: "pw-vx43", before: vx, after: undefined }])).toEqual([]);
    expect(place.namespace.json("link show pw-vx43")).toHaveLength(1);
    kernel.close();
  });
});
