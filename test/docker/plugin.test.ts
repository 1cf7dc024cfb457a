/** A daemon, an etcd, and the calls dockerd makes, in its order: what it is answered, and what the kernel then has. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type AddressView, type PoolView, podPaths } from "#daemon/pod-control.ts";
import { kernelMissing, Namespace } from "../contract/kernel-netns.ts";
import { DaemonProcess, until } from "../daemon/daemon-process.ts";
import { etcdStore, NodeWorld } from "../daemon/node-world.ts";
import { type Answer, DockerdClient, type Endpoint, newId, newMac } from "./dockerd-client.ts";

const document = (store: string): string => `podway: 1
name: t
asn: 64512
store: ${store}
reflection: off
pools:
  - { name: v4, cidr: 10.42.0.0/16, nodePrefix: 28, backend: host-gw, pods: { pair: v6, coolDown: 0 } }
  - { name: v6, cidr: "fd42::/48", backend: host-gw, pods: { coolDown: 0 } }
  - { name: tenant, cidr: 10.43.0.0/16, backend: host-gw, pods: { namespaces: [blue], quota: { blue: 1 }, keep: 0, coolDown: 0 } }
nodes:
  n1: { address: 10.0.0.21, address6: "fd00::21" }
`;

interface Joined {
  readonly InterfaceName: { readonly SrcName: string; readonly DstPrefix: string };
  readonly Gateway: string;
  readonly GatewayIPv6: string;
  readonly StaticRoutes: readonly { readonly Destination: string; readonly RouteType: 0 | 1; readonly NextHop?: string }[];
  readonly DisableGatewayService: boolean;
}

describe.skipIf(kernelMissing !== undefined)(`Docker's plugin socket${kernelMissing ?? ""}`, () => {
  let world: NodeWorld, daemon: DaemonProcess, directory: string, socket: string, docker: DockerdClient;
  const sandboxes: Namespace[] = [];

  const used = async (): Promise<readonly AddressView[]> =>
    (await daemon.get<readonly AddressView[]>(podPaths.addresses)).filter(({ state }) => state === "used" || state === "reserved");
  const ready = (): Promise<void> =>
    until("pools are held and the plugin listens", async () => {
      const pools = await daemon.get<readonly PoolView[]>(podPaths.pools);
      await docker.need("Plugin.Activate");
      return pools.every(({ nodeCidr }) => nodeCidr !== null);
    });
  const start = (): DaemonProcess => daemon.start("--docker", socket);
  const sandbox = (): Namespace => sandboxes[sandboxes.push(new Namespace(`docker-${sandboxes.length}`)) - 1]!;
  const links = (): readonly string[] =>
    world.namespace
      .json("link show type veth")
      .map(({ ifname }) => String(ifname))
      .filter((name) => name.startsWith("p"));

  /** What dockerd does with the answer of Join (libnetwork osl): move, rename, addresses, up, routes of the link, gateways, other routes. */
  function moveIn(into: Namespace, endpoint: Endpoint, answer: Answer, device: string): void {
    const joined = answer as unknown as Joined;
    world.namespace.ip(`link set ${joined.InterfaceName.SrcName} netns ${into.name}`);
    into.ip(`link set ${joined.InterfaceName.SrcName} name ${device} address ${endpoint.mac}`);
    for (const address of endpoint.addresses) into.ip(`addr add ${address} dev ${device}${address.includes(":") ? " nodad" : ""}`);
    into.ip(`link set ${device} up`);
    for (const { Destination, RouteType, NextHop } of joined.StaticRoutes) {
      const version = Destination.includes(":") ? "-6 " : "";
      into.ip(
        RouteType === 1 ? `${version}route add ${Destination} dev ${device} scope link` : `${version}route add ${Destination} via ${NextHop} dev ${device}`,
      );
    }
    // Of several networks the first has the way out.
    for (const gateway of device === "eth0" ? [joined.Gateway, joined.GatewayIPv6] : [])
      if (gateway !== "") into.ip(`${gateway.includes(":") ? "-6 " : ""}route add default via ${gateway} dev ${device}`);
  }
  const bothFamilies = [{ V6: false }, { V6: true }] as const;

  beforeAll(async () => {
    world = await NodeWorld.make("docker");
    world.namespace.ip("-6 addr add fd00::21/64 dev eth0 nodad");
    world.namespace.ip("route add default via 10.0.0.22");
    directory = mkdtempSync(join(tmpdir(), "podway-docker-"));
    socket = join(directory, "podway.sock");
    docker = new DockerdClient(socket);
    daemon = new DaemonProcess("n1", document(etcdStore(world.etcd.url)));
    start();
    await ready();
  });
  afterAll(async () => {
    await daemon.dispose();
    for (const namespace of sandboxes) namespace.remove();
    await world.remove();
    rmSync(directory, { recursive: true });
  });

  it("says what it is, and what nobody defined is an error of its half of the protocol", async () => {
    expect(await docker.call("Plugin.Activate")).toEqual({ Implements: ["NetworkDriver", "IpamDriver"] });
    expect(await docker.call("NetworkDriver.GetCapabilities")).toEqual({ Scope: "local", ConnectivityScope: "global" });
    expect(await docker.call("IpamDriver.GetCapabilities")).toEqual({ RequiresMACAddress: true, RequiresRequestReplay: false });
    expect(await docker.call("IpamDriver.GetDefaultAddressSpaces")).toEqual({ LocalDefaultAddressSpace: "podway", GlobalDefaultAddressSpace: "podway" });
    expect(await docker.call("NetworkDriver.DiscoverNew", { DiscoveryType: 1, DiscoveryData: { Address: "10.0.0.21", self: true } })).toEqual({});
    expect(await docker.call("NetworkDriver.Nothing")).toEqual({ Err: "there is no such call" });
    expect(await docker.call("IpamDriver.Nothing")).toEqual({ Error: "there is no such call" });
  });

  it("two containers of both families reach each other; the address passes from Docker's request to the endpoint", async () => {
    const network = await docker.createNetwork(bothFamilies);
    const ends: { readonly endpoint: Endpoint; readonly into: Namespace }[] = [];
    for (const device of ["eth0", "eth0"]) {
      const endpoint = await docker.createEndpoint(network);
      expect(endpoint.created).toEqual({ Interface: {} });
      const into = sandbox();
      moveIn(into, endpoint, await docker.join(endpoint, `/sandbox/${into.name}`), device);
      ends.push({ endpoint, into });
    }
    const holders = (await used()).filter(({ containerId }) => containerId === ends[0]!.endpoint.id);
    expect(new Set(holders.map(({ address }) => address))).toEqual(new Set(ends[0]!.endpoint.addresses.map((text) => text.split("/")[0])));
    for (const address of ends[1]!.endpoint.addresses) expect(ends[0]!.into.exec(`ping -c1 -W2 ${address.split("/")[0]}`)).toContain("1 received");
    expect(ends[0]!.into.exec("ping -c1 -W2 10.0.0.21")).toContain("1 received");
    for (const { endpoint } of ends) await docker.drop(endpoint);
    await docker.removeNetwork(network);
    expect([await used(), links()]).toEqual([[], []]);
  });

  it("kill -9 between every two calls: what dockerd then tells again finds it as it was, and nothing is left at the end", async () => {
    const crash = async (): Promise<void> => {
      await daemon.end("SIGKILL");
      start();
      await ready();
    };
    const network = await docker.createNetwork(bothFamilies);
    await crash();
    const endpoint = await docker.createEndpoint(network, { mac: "02:42:00:00:00:09" });
    await crash();
    const joined = await docker.join(endpoint, "/sandbox/x");
    await crash();
    const into = sandbox();
    moveIn(into, endpoint, joined, "eth0");
    expect(into.exec("ping -c1 -W2 10.0.0.21")).toContain("1 received");
    await docker.drop(endpoint);
    await crash();
    await docker.drop(endpoint);
    // The user chose its MAC address: the next container with it has its addresses.
    const again = await docker.createEndpoint(network, { mac: "02:42:00:00:00:09" });
    expect(again.addresses).toEqual(endpoint.addresses);
    await docker.drop(again);
    await docker.removeNetwork(network);
    await docker.removeNetwork(network);
    expect([await used(), links()]).toEqual([[], []]);
  });

  it("a request that is sent again has the same answer, and costs no address", async () => {
    const { PoolID } = await docker.need("IpamDriver.RequestPool", { AddressSpace: "podway", Pool: "10.42.0.0/16", SubPool: "", Options: {}, V6: false });
    const request = { PoolID, Address: "", Options: { "com.docker.network.endpoint.macaddress": newMac() } };
    const [first, second] = [await docker.need("IpamDriver.RequestAddress", request), await docker.need("IpamDriver.RequestAddress", request)];
    expect(second).toEqual(first);
    expect(await used()).toHaveLength(1);
    const network = await docker.createNetwork([{ V6: false, Pool: "10.42.0.0/16" }]);
    const body = {
      NetworkID: network.id,
      EndpointID: newId(),
      Interface: { Address: first["Address"], AddressIPv6: "", MacAddress: request.Options["com.docker.network.endpoint.macaddress"] },
      Options: null,
    };
    expect(await docker.need("NetworkDriver.CreateEndpoint", body)).toEqual({ Interface: {} });
    expect(await docker.need("NetworkDriver.CreateEndpoint", body)).toEqual({ Interface: {} });
    const other = { ...body, EndpointID: newId() };
    expect((await docker.call("NetworkDriver.CreateEndpoint", other)).Err).toMatch(/^10\.42\.\S+ is used by container [0-9a-f]{64}; /);
    expect(await used()).toHaveLength(1);
    await docker.need("NetworkDriver.DeleteNetwork", { NetworkID: network.id });
    expect([await used(), links()]).toEqual([[], []]);
  });

  it("a subnet that nobody asked for is no subnet: Docker would look for another one for ever", async () => {
    const pool = (V6: boolean, Pool = ""): Promise<Answer> =>
      docker.need("IpamDriver.RequestPool", { AddressSpace: "podway", Pool, SubPool: "", Options: {}, V6 });
    expect(await pool(false)).toMatchObject({ PoolID: "v4/10.42.0.0/16", Pool: "0.0.0.0/0" });
    expect(await pool(false, "10.42.0.0/16")).toMatchObject({ PoolID: "v4/10.42.0.0/16", Pool: "10.42.0.0/16" });
    expect(await pool(true)).toMatchObject({ PoolID: "v6/fd42::/48", Pool: "fd42::/48" });
  });

  it("a container in two networks of one pool has two gateways, and the second network's is there when the first is left", async () => {
    const networks = [await docker.createNetwork([{ V6: false }]), await docker.createNetwork([{ V6: false }])];
    const into = sandbox();
    const ends = [];
    for (const [at, network] of networks.entries()) {
      const endpoint = await docker.createEndpoint(network);
      const answer = await docker.join(endpoint, "/sandbox/two");
      moveIn(into, endpoint, answer, `eth${at}`);
      ends.push({ endpoint, answer: answer as unknown as Joined });
    }
    expect(new Set(ends.map(({ answer }) => answer.Gateway)).size).toBe(2);
    // A route of the first that covered the second's address would make dockerd refuse the second.
    expect(ends.map(({ answer }) => answer.StaticRoutes.map(({ RouteType }) => RouteType))).toEqual([[1], [1]]);
    for (const { answer } of ends) expect(into.exec(`ping -c1 -W2 ${answer.Gateway}`)).toContain("1 received");
    for (const { endpoint } of ends) await docker.drop(endpoint);
    for (const network of networks) await docker.removeNetwork(network);
  });

  it("an internal network has no way out; a static address and a gateway out of the pool are kept", async () => {
    const internal = await docker.createNetwork([{ V6: false }], true);
    const endpoint = await docker.createEndpoint(internal);
    expect(await docker.join(endpoint, "/sandbox/i")).toMatchObject({
      Gateway: "",
      DisableGatewayService: true,
      StaticRoutes: [{ RouteType: 1 }, { Destination: "10.42.0.0/16", RouteType: 0 }],
    });
    await docker.drop(endpoint);
    await docker.removeNetwork(internal);

    const cidr = (await daemon.get<readonly PoolView[]>(podPaths.pools))[0]!.nodeCidr!,
      base = cidr.split("/")[0]!.split(".");
    const at = (last: number): string => [...base.slice(0, 3), Number(base[3]) + last].join(".");
    const { PoolID } = await docker.need("IpamDriver.RequestPool", { AddressSpace: "podway", Pool: cidr, SubPool: "", Options: {}, V6: false });
    const gateway = { PoolID, Address: at(9), Options: { RequestAddressType: "com.docker.network.gateway" } };
    expect(await docker.need("IpamDriver.RequestAddress", gateway)).toMatchObject({ Address: `${at(9)}/32` });
    expect(await docker.need("IpamDriver.RequestAddress", { PoolID, Address: at(8), Options: null })).toMatchObject({ Address: `${at(8)}/32` });
    const network = { id: newId(), pools: [{ id: PoolID as string, family: 4 as const }] };
    const data = { AddressSpace: "podway", Gateway: `${at(9)}/32`, Pool: cidr, AuxAddresses: { rtr: `${at(8)}/32` } };
    await docker.need("NetworkDriver.CreateNetwork", { NetworkID: network.id, Options: {}, IPv4Data: [data], IPv6Data: [] });
    const fixed = await docker.createEndpoint(network, { ip: at(5) });
    expect(fixed.addresses).toEqual([`${at(5)}/32`]);
    expect(await docker.join(fixed, "/sandbox/s")).toMatchObject({ Gateway: at(9) });
    await expect(docker.createEndpoint(network, { ip: at(5) })).rejects.toThrow(`${at(5)} is used by container ${fixed.id}`);
    await expect(docker.createEndpoint(network, { ip: at(8) })).rejects.toThrow(`${at(8)} is reserved for docker/network`);
    await docker.drop(fixed);
    const again = await docker.createEndpoint(network, { ip: at(5) });
    await docker.drop(again);
    for (const address of [at(9), at(8)]) await docker.need("IpamDriver.ReleaseAddress", { PoolID, Address: address });
    await docker.removeNetwork(network);
    expect([await used(), links()]).toEqual([[], []]);
  });

  it("networks whose addresses another program or nobody chooses", async () => {
    const id = newId();
    await docker.need("NetworkDriver.CreateNetwork", {
      NetworkID: id,
      Options: {},
      IPv4Data: [{ AddressSpace: "null", Gateway: "", Pool: "0.0.0.0/0" }],
      IPv6Data: [],
    });
    const endpoint = newId();
    const { Interface } = await docker.need("NetworkDriver.CreateEndpoint", { NetworkID: id, EndpointID: endpoint, Interface: {}, Options: {} });
    expect(Interface).toEqual({ Address: expect.stringMatching(/^10\.42\..*\/32$/), MacAddress: expect.stringMatching(/^..:/) });
    await docker.need("NetworkDriver.DeleteEndpoint", { NetworkID: id, EndpointID: endpoint });
    const foreign = { NetworkID: id, EndpointID: newId(), Interface: { Address: "172.18.0.2/16", MacAddress: "" }, Options: {} };
    expect((await docker.call("NetworkDriver.CreateEndpoint", foreign)).Err).toBe("172.18.0.2 is in no pool; podway ip pools lists what there is");
    await docker.need("NetworkDriver.DeleteNetwork", { NetworkID: id });
    const other = {
      NetworkID: newId(),
      Options: {},
      IPv4Data: [{ AddressSpace: "LocalDefault", Gateway: "10.42.0.1/16", Pool: "10.42.0.0/16" }],
      IPv6Data: [],
    };
    expect((await docker.call("NetworkDriver.CreateNetwork", other)).Err).toMatch(/^the addresses of 10\.42\.0\.0\/16 are handed out by another IPAM driver: /);
    expect(await used()).toEqual([]);
  });

  it("a full pool, a tenant over its quota: one sentence, and nothing is left of what failed", async () => {
    const network = await docker.createNetwork([{ V6: false }]);
    const ends: Endpoint[] = [];
    const full = await (async () => {
      for (;;) ends.push(await docker.createEndpoint(network));
    })().catch((cause: Error) => cause.message);
    expect(full).toMatch(/^no address of 10\.42\.\S+\/28 \(pool v4\) is free: \d+ used, \d+ kept for owners, 0 cooling/);
    expect(await used()).toHaveLength(ends.length);
    for (const endpoint of ends) await docker.drop(endpoint);
    await docker.removeNetwork(network);

    const tenant = await docker.createNetwork([{ V6: false, Options: { pool: "tenant", namespace: "blue" } }]);
    const one = await docker.createEndpoint(tenant);
    await expect(docker.createEndpoint(tenant)).rejects.toThrow(/^namespace blue has 1 addresses of pool tenant .*quota/);
    await docker.drop(one);
    const red = await docker.createNetwork([{ V6: false, Options: { pool: "tenant", namespace: "red" } }]);
    await expect(docker.createEndpoint(red)).rejects.toThrow("pool tenant is not for namespace red");
    for (const each of [tenant, red]) await docker.removeNetwork(each);
    expect([await used(), links()]).toEqual([[], []]);
  });

  it.each([
    ["IpamDriver.RequestPool", { Options: { pool: "nope" }, V6: false }, "there is no IPv4 pool nope; pools here are: v4 10.42.0.0/16, tenant 10.43.0.0/16"],
    ["IpamDriver.RequestPool", { Pool: "10.99.0.0/16" }, "subnet 10.99.0.0/16 is no pool; pools here are: v4 10.42.0.0/16, tenant 10.43.0.0/16"],
    [
      "IpamDriver.RequestPool",
      { Pool: "10.42.7.0/25" },
      /^subnet 10\.42\.7\.0\/25 lies in pool v4 but is not it: give the whole of it, 10\.42\.0\.0\/16, or this node's part of it, /,
    ],
    ["IpamDriver.RequestPool", { Pool: "10.42.0.0/16", SubPool: "10.42.200.0/24" }, /^--ip-range 10\.42\.200\.0\/24 is narrower than what this node hands out/],
    ["IpamDriver.RequestPool", { Pool: "ten" }, "ten is no subnet: write a CIDR without host bits, such as 10.42.0.0/16"],
    ["IpamDriver.RequestPool", { V6: "yes" }, "V6 is neither true nor false"],
    ["IpamDriver.RequestAddress", { PoolID: "x" }, "pool x of this Docker network is no longer declared; remove the network and create it again"],
    ["IpamDriver.RequestAddress", { PoolID: "v4/10.42.0.0/16", Address: "10.42.1" }, '"10.42.1" is not an IP address'],
    [
      "IpamDriver.RequestAddress",
      { PoolID: "v4/10.42.0.0/16", Address: "", Options: { "com.docker.network.endpoint.macaddress": "zz" } },
      "zz is no MAC address",
    ],
    ["IpamDriver.ReleaseAddress", { PoolID: "x", Address: "" }, '"" is not an IP address'],
    ["NetworkDriver.CreateNetwork", "{", "the body of the request is not JSON"],
    ["NetworkDriver.CreateNetwork", "[1]", "the body of the request is not a JSON object"],
    ["NetworkDriver.CreateNetwork", { NetworkID: "../x" }, 'NetworkID must be letters, digits, "_", "." and "-", at most 128 of them'],
    ["NetworkDriver.CreateNetwork", { NetworkID: "n", IPv4Data: 7 }, "IPv4Data is not a list of objects"],
    [
      "NetworkDriver.CreateNetwork",
      { NetworkID: "n", Options: { "com.docker.network.generic": { "com.docker.network.driver.mtu": "12" } } },
      "com.docker.network.driver.mtu=12 is no MTU: write a number from 68 to 65535",
    ],
    ["NetworkDriver.CreateEndpoint", { NetworkID: "n", EndpointID: "e" }, "network n is not known to this node's podwayd; remove it and create it again"],
    ["NetworkDriver.Join", { NetworkID: "n", EndpointID: "e" }, "network n is not known to this node's podwayd; remove it and create it again"],
  ])("%s of %j", async (path, body, text) => {
    const answer = await docker.call(path, body);
    const name = path.startsWith("IpamDriver") ? "Error" : "Err";
    expect(answer).toEqual({ [name]: typeof text === "string" ? text : expect.stringMatching(text) });
    expect(await used()).toEqual([]);
  });

  it("deletes of what never was succeed; a body too long is refused; a damaged state is put aside and said", async () => {
    const which = { NetworkID: newId(), EndpointID: newId() };
    for (const path of ["NetworkDriver.Leave", "NetworkDriver.DeleteEndpoint", "NetworkDriver.DeleteNetwork", "NetworkDriver.RevokeExternalConnectivity"])
      expect(await docker.call(path, which)).toEqual({});
    expect(await docker.call("IpamDriver.ReleaseAddress", { PoolID: "v4/10.42.0.0/16", Address: "10.42.0.3" })).toEqual({});
    expect(await docker.call("IpamDriver.ReleasePool", { PoolID: "x" })).toEqual({});
    expect((await docker.call("NetworkDriver.CreateNetwork", `"${"x".repeat(1024 * 1024)}"`)).Err).toMatch(/longer than 1048576 octets/);
    await daemon.end();
    writeFileSync(join(daemon.state, "docker.json"), '{"schema":1,"networks"');
    start();
    await ready();
    expect(daemon.said("docker.state-damaged")[0]).toMatch(/docker\.json cannot be read and was moved to .*docker\.json\.damaged: /);
  });
});
