/** The plugin as a runtime calls it: a process with CNI_* in its environment, against a daemon, an etcd and real namespaces. */
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { AddressView } from "#daemon/pod-control.ts";
import { kernelMissing, Namespace } from "../contract/kernel-netns.ts";
import { DaemonProcess, until } from "../daemon/daemon-process.ts";
import { etcdStore, NodeWorld } from "../daemon/node-world.ts";
import { answer, type Answering, ask } from "./conversation.ts";

const document = (store: string): string => `podway: 1
name: t
asn: 64512
store: ${store}
reflection: off
pools:
  - { name: v4, cidr: 10.42.0.0/16, nodePrefix: 28, backend: host-gw, pods: { pair: v6, coolDown: 0 } }
  - { name: v6, cidr: "fd42::/48", backend: host-gw }
  - { name: tiny, cidr: 10.43.0.0/24, nodePrefix: 30, backend: host-gw, pods: { coolDown: 0, keep: 0 } }
  - { name: tenant, cidr: 10.44.0.0/16, backend: host-gw, pods: { namespaces: [blue], quota: { blue: 1 }, keep: 0, coolDown: 0 } }
nodes:
  n1: { address: 10.0.0.21, address6: "fd00::21" }
`;

interface Called {
  readonly code: number | null;
  readonly result: {
    readonly cniVersion?: string;
    readonly code?: number;
    readonly msg?: string;
    readonly ips?: readonly { readonly address: string; readonly gateway: string; readonly version?: string; readonly interface?: number }[];
    readonly interfaces?: readonly { readonly name: string; readonly mac: string; readonly sandbox?: string; readonly mtu?: number }[];
    readonly supportedVersions?: readonly string[];
    readonly [more: string]: unknown;
  };
}

describe.skipIf(kernelMissing !== undefined)(`the CNI plugin${kernelMissing ?? ""}`, () => {
  let world: NodeWorld, daemon: DaemonProcess, pods: Namespace[], folder: string;
  const conf = (more: object = {}): object => ({
    cniVersion: "1.0.0",
    name: "net",
    type: "podway-cni",
    socket: daemon.api,
    spool: join(daemon.state, "cni-spool"),
    ...more,
  });
  const netns = (i: number): string => `/run/netns/${pods[i]!.name}`;

  const call = (command: string, env: Readonly<Record<string, string>>, config: object | string, program = "podway-cni"): Promise<Called> =>
    new Promise((resolve) => {
      const child = spawn(join(folder, "bin", program), [], {
        env: { PATH: process.env["PATH"], CNI_COMMAND: command, CNI_PATH: "/opt/cni/bin", ...env },
        stdio: ["pipe", "pipe", "inherit"],
      });
      let out = "";
      child.stdout.on("data", (chunk: Buffer) => (out += chunk.toString()));
      child.on("close", (code) => resolve({ code, result: out === "" ? {} : (JSON.parse(out) as Called["result"]) }));
      child.stdin.on("error", () => undefined).end(typeof config === "string" ? config : JSON.stringify(config));
    });
  const of = (i: number): Record<string, string> => ({ CNI_CONTAINERID: `c${i}`, CNI_IFNAME: "eth0", CNI_NETNS: netns(i) });
  const add = (i: number, more: object = {}, env: Readonly<Record<string, string>> = {}): Promise<Called> => call("ADD", { ...of(i), ...env }, conf(more));
  const del = (i: number, more: object = {}): Promise<Called> => call("DEL", of(i), conf(more));
  const ready = (): Promise<unknown> => until("ready", async () => (await daemon.get<{ ready: boolean }>("/v1/pods/ready")).ready);
  const used = async (): Promise<readonly string[]> =>
    (await daemon.get<readonly AddressView[]>("/v1/addresses")).filter(({ state }) => state === "used").map(({ containerId }) => containerId!);
  const devices = (i: number): readonly unknown[] => pods[i]!.json("link show").map((link) => link["ifname"]);
  const nodeDevices = (): readonly unknown[] =>
    world.namespace
      .json("link show")
      .map((link) => link["ifname"])
      .filter((name) => String(name).startsWith("pw"));

  beforeAll(async () => {
    world = await NodeWorld.make("cni");
    world.namespace.ip("-6 addr add fd00::21/64 dev eth0 nodad");
    pods = ["a", "b"].map((name) => new Namespace(`cni-${name}`));
    folder = mkdtempSync(join(tmpdir(), "podway-cni-"));
    daemon = new DaemonProcess("n1", document(etcdStore(world.etcd.url)));
    daemon.start();
    await ready();
    const installed = await daemon.podway(
      "cni",
      "install",
      "--bin",
      join(folder, "bin"),
      "--conf",
      join(folder, "net.d"),
      "--socket",
      daemon.api,
      "--state",
      daemon.state,
      "--pools",
      "v4,v6",
    );
    if (installed.code !== 0) throw new Error(installed.err);
  });
  afterAll(async () => {
    await daemon.dispose();
    for (const pod of pods) pod.remove();
    await world.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  it("VERSION needs nothing", async () => {
    expect(await call("VERSION", {}, "{}")).toMatchObject({ code: 0, result: { supportedVersions: expect.arrayContaining(["0.4.0", "1.1.0"]) as string[] } });
  });

  it("ADD, CHECK and DEL in every version's words; DEL twice", async () => {
    const first = await add(0);
    expect(first.result).toMatchObject({
      cniVersion: "1.0.0",
      interfaces: [{ name: expect.stringMatching(/^pw/) as string }, { name: "eth0", sandbox: netns(0) }],
      ips: [{ gateway: "169.254.1.1", interface: 1 }, { gateway: "fe80::1" }],
      routes: [{ dst: "0.0.0.0/0" }, { dst: "::/0" }],
    });
    expect(first.result.ips![0]!.version).toBeUndefined();
    expect(pods[0]!.exec("ping -c1 -W2 10.0.0.21")).toContain("1 received");
    expect((await call("CHECK", of(0), conf({ prevResult: first.result }))).code).toBe(0);
    pods[0]!.ip(`addr del ${first.result.ips![0]!.address} dev eth0`);
    expect(await call("CHECK", of(0), conf({ prevResult: first.result }))).toMatchObject({ code: 1, result: { code: 108 } });
    expect(await del(0, { prevResult: first.result })).toEqual({ code: 0, result: {} });
    expect(await call("DEL", { ...of(0), CNI_NETNS: "" }, conf())).toEqual({ code: 0, result: {} });
    expect([devices(0), nodeDevices()]).toEqual([["lo"], []]);
    for (const cniVersion of ["0.2.0", "0.4.0", "1.1.0"]) {
      const { code, result } = await add(0, { cniVersion });
      expect([code, result.cniVersion]).toEqual([0, cniVersion]);
      if (cniVersion === "0.2.0") expect(result).toMatchObject({ ip4: { gateway: "169.254.1.1" }, ip6: { gateway: "fe80::1" } });
      if (cniVersion === "0.4.0") expect(result.ips!.map(({ version }) => version)).toEqual(["4", "6"]);
      if (cniVersion === "1.1.0") expect(result.interfaces![1]).toMatchObject({ mtu: 1500 });
      await del(0, { cniVersion });
    }
  });

  it("STATUS and GC of 1.1", async () => {
    expect((await call("STATUS", {}, conf({ cniVersion: "1.1.0" }))).code).toBe(0);
    await Promise.all([add(0), add(1)]);
    const valid = [{ containerID: "c1", ifname: "eth0" }];
    expect(await call("GC", {}, conf({ cniVersion: "1.1.0", "cni.dev/valid-attachments": valid }))).toEqual({ code: 0, result: {} });
    expect([await used(), devices(0), devices(1)]).toEqual([["c1", "c1"], ["lo"], ["lo", "eth0"]]);
    expect(await call("STATUS", {}, conf())).toMatchObject({ code: 1, result: { code: 1 } });
    await del(1);
  });

  it("bad input: the specification's code, one sentence, nothing left", async () => {
    const cases: readonly (readonly [string, () => Promise<Called>, number, RegExp])[] = [
      ["no JSON", () => call("ADD", of(0), "{"), 6, /not JSON/],
      ["a list", () => call("ADD", of(0), "[]"), 7, /name/],
      ["no name", () => call("ADD", of(0), conf({ name: "" })), 7, /name/],
      ["version", () => call("ADD", of(0), conf({ cniVersion: "2.0.0" })), 1, /2\.0\.0/],
      ["environment", () => call("ADD", { CNI_IFNAME: "eth0" }, conf()), 4, /CNI_CONTAINERID, CNI_NETNS/],
      ["container id", () => call("ADD", { ...of(0), CNI_CONTAINERID: "../x" }, conf()), 4, /CNI_CONTAINERID/],
      ["ifname", () => call("ADD", { ...of(0), CNI_IFNAME: "a-name-that-is-long" }, conf()), 4, /CNI_IFNAME/],
      ["command", () => call("FROB", of(0), conf()), 4, /FROB/],
      ["args", () => add(0, {}, { CNI_ARGS: "IP" }), 4, /CNI_ARGS/],
      ["netns gone", () => call("ADD", { ...of(0), CNI_NETNS: "/run/netns/t-none" }, conf()), 3, /t-none/],
      ["pool", () => add(0, { pools: ["nope"] }), 7, /nope/],
      ["pools is no list", () => add(0, { pools: "v4" }), 7, /pools/],
      ["not permitted", () => add(0, { pools: ["tenant"] }), 104, /tenant/],
      ["address of no pool", () => add(0, {}, { CNI_ARGS: "IP=192.0.2.1" }), 103, /192\.0\.2\.1/],
      ["mac", () => add(0, {}, { CNI_ARGS: "MAC=nonsense" }), 7, /MAC/],
      ["unknown to CHECK", () => call("CHECK", of(0), conf({ prevResult: {} })), 106, /c0/],
      ["CHECK without prevResult", () => call("CHECK", of(0), conf()), 7, /prevResult/],
    ];
    for (const [name, called, code, text] of cases) {
      const { code: exit, result } = await called();
      expect([name, exit, result.code, result.msg]).toEqual([name, 1, code, expect.stringMatching(text)]);
    }
    expect([await used(), devices(0), nodeDevices()]).toEqual([[], ["lo"], []]);
  });

  it("a full pool, a tenant over quota, a foreign interface of the same name", async () => {
    const pod = (name: string): Record<string, string> => ({ CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=blue;K8S_POD_NAME=${name}` });
    expect((await add(0, { pools: ["tiny"] })).code).toBe(0);
    expect(await add(1, { pools: ["tiny"] })).toMatchObject({ code: 1, result: { code: 101 } });
    await del(0);
    expect((await add(0, { pools: ["tenant"] }, pod("one"))).code).toBe(0);
    expect(await add(1, { pools: ["tenant"] }, pod("two"))).toMatchObject({ code: 1, result: { code: 105 } });
    await del(0);
    pods[0]!.ip("link add eth0 type veth peer name other");
    expect(await add(0)).toMatchObject({ code: 1, result: { code: 107 } });
    pods[0]!.ip("link del eth0");
    expect([await used(), devices(0), devices(1), nodeDevices()]).toEqual([[], ["lo"], ["lo"], []]);
  });

  it("ports of the node lead into the pod: from outside, from the node, from pods, from itself; over a restart; not after DEL", async () => {
    const far = new Namespace("cni-far"),
      [one, two] = pods as [Namespace, Namespace];
    const servers: Answering[] = [];
    try {
      world.namespace.ip(`link set far0 netns ${far.name}`);
      for (const line of ["addr add 10.0.0.22/24 dev far0", "-6 addr add fd00::22/64 dev far0 nodad", "link set far0 up"]) far.ip(line);
      const portMappings = [
        { hostPort: 8080, containerPort: 80 },
        { HostPort: 8080, ContainerPort: 80, Protocol: "UDP", HostIP: "" },
        { hostPort: 8081, containerPort: 80, protocol: "tcp", hostIP: "10.0.0.21" },
        { hostPort: 0, containerPort: 443, protocol: "tcp" },
      ];
      const made = await add(0, { runtimeConfig: { portMappings } });
      expect(made).toMatchObject({ code: 0 });
      const [four, six] = made.result.ips!.map(({ address }) => address.split("/")[0]!);
      const addressesOf = ({ result }: Called): readonly string[] => result.ips!.map(({ address }) => address.split("/")[0]!);
      let other = addressesOf(await add(1));
      servers.push(await answer(one.name, "one", 80));
      const reaches = async (): Promise<void> => {
        expect(await ask(far.name, "tcp", "10.0.0.21", 8080)).toBe("one 10.0.0.22");
        expect(await ask(far.name, "udp", "10.0.0.21", 8080)).toBe("one 10.0.0.22");
        expect(await ask(far.name, "tcp", "fd00::21", 8080)).toBe("one fd00::22");
        expect(await ask(far.name, "tcp", "10.0.0.21", 8081)).toBe("one 10.0.0.22");
        expect(await ask(far.name, "tcp", "fd00::21", 8081)).toBe("nobody");
        expect(await ask(world.namespace.name, "tcp", "127.0.0.1", 8080)).toMatch(/^one /);
        expect(await ask(world.namespace.name, "tcp", "fd00::21", 8080)).toMatch(/^one /);
        expect(await ask(two.name, "tcp", "10.0.0.21", 8080)).toBe(`one ${other[0]}`);
        expect(await ask(two.name, "udp", "fd00::21", 8080)).toBe(`one ${other[1]}`);
        expect(await ask(one.name, "tcp", "10.0.0.21", 8080)).toMatch(/^one /);
        expect(await ask(one.name, "tcp", "fd00::21", 8080)).toMatch(/^one /);
      };
      await reaches();
      const second = { runtimeConfig: { portMappings: [{ hostPort: 8080, containerPort: 81 }] } };
      await del(1);
      expect(await add(1, second)).toMatchObject({ code: 1, result: { code: 111, msg: expect.stringContaining("leads to container c0") as string } });
      expect([devices(1), await used()]).toEqual([["lo"], ["c0", "c0"]]);
      other = addressesOf(await add(1));
      await daemon.end("SIGKILL");
      world.namespace.exec("nft delete table inet podway");
      daemon.start();
      await ready();
      await until("the rules are back", () => world.namespace.exec("nft list table inet podway").includes(`dnat ip to ${four}:80`));
      await reaches();
      expect(six).toMatch(/^fd42:/);
      await del(0);
      expect(await ask(far.name, "tcp", "10.0.0.21", 8080)).toBe("nobody");
      await del(1);
    } finally {
      for (const server of servers) await server.stop();
      world.namespace.exec(`ip -n ${far.name} link set far0 netns ${world.namespace.name}`);
      world.namespace.ip("link set far0 up");
      far.remove();
    }
  });

  it("bandwidth: each end slows what it sends; 0 is no limit", async () => {
    const buckets = (line: string): readonly unknown[] =>
      (JSON.parse(line) as { kind: string; options: { rate: number } }[]).filter(({ kind }) => kind === "tbf").map(({ options }) => options.rate);
    const { result } = await add(0, {
      runtimeConfig: { bandwidth: { ingressRate: 8_000_000, ingressBurst: 800_000, egressRate: 80_000_000_000, egressBurst: 1 } },
    });
    expect(buckets(world.namespace.exec(`tc -j qdisc show dev ${result.interfaces![0]!.name}`))).toEqual([1_000_000]);
    expect(buckets(pods[0]!.exec("tc -j qdisc show dev eth0"))).toEqual([10_000_000_000]);
    await del(0);
    await add(0, { runtimeConfig: { bandwidth: { ingressRate: 0, egressRate: 0 } } });
    expect(buckets(pods[0]!.exec("tc -j qdisc show dev eth0"))).toEqual([]);
    await del(0);
    expect(await add(0, { runtimeConfig: { bandwidth: { ingressRate: -1 } } })).toMatchObject({ code: 1, result: { code: 7 } });
    expect(await add(0, { runtimeConfig: { portMappings: [{ hostPort: 70_000, containerPort: 80 }] } })).toMatchObject({ code: 1, result: { code: 7 } });
  });

  it("podman's arguments: address and MAC in CNI_ARGS, its name as owner", async () => {
    const { nodeCidr } = (await daemon.get<readonly { nodeCidr: string }[]>("/v1/pools"))[0]!;
    const address = nodeCidr.replace(/\d+\/28$/, (last) => String(Number(last.split("/")[0]) + 7));
    const { result } = await add(0, {}, { CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAME=web;MAC=02:42:00:00:00:09;IP=${address}` });
    expect(result).toMatchObject({ interfaces: [{}, { mac: "02:42:00:00:00:09" }], ips: [{ address: `${address}/32` }, {}] });
    await del(0);
    expect((await add(0, {}, { CNI_ARGS: "K8S_POD_NAME=web" })).result.ips![0]!.address).toBe(`${address}/32`);
    await del(0);
  });

  it("a container that comes back without a DEL, in another namespace, keeps its addresses", async () => {
    const first = await add(0);
    const again = await call("ADD", { ...of(0), CNI_NETNS: netns(1) }, conf());
    expect([again.code, again.result.ips, devices(0), devices(1)]).toEqual([0, first.result.ips, ["lo"], ["lo", "eth0"]]);
    expect(pods[1]!.exec("ping -c1 -W2 10.0.0.21")).toContain("1 received");
    await del(0);
    expect([devices(1), nodeDevices()]).toEqual([["lo"], []]);
  });

  it("while no daemon runs ADD says try again, and DEL removes the link and is made good at the start", async () => {
    await Promise.all([add(0), add(1)]);
    await daemon.end("SIGKILL");
    expect(await del(0)).toEqual({ code: 0, result: {} });
    expect(devices(0)).toEqual(["lo"]);
    expect(readdirSync(join(daemon.state, "cni-spool"))).toEqual(["c0@eth0"]);
    expect(await add(0)).toMatchObject({ code: 1, result: { code: 11, msg: expect.stringContaining("podwayd does not run") as string } });
    expect(await call("STATUS", {}, conf({ cniVersion: "1.1.0" }))).toMatchObject({ code: 1, result: { code: 11 } });
    daemon.start();
    await ready();
    await until("the deletion is made good", async () => (await used()).join() === "c1,c1");
    await until("its note is gone", () => readdirSync(join(daemon.state, "cni-spool")).length === 0);
    expect(pods[1]!.exec("ping -c1 -W2 10.0.0.21")).toContain("1 received");
    await del(1);
  });

  it("is installed whole, once, and only over itself", async () => {
    const where = ["--bin", join(folder, "bin"), "--conf", join(folder, "net.d"), "--socket", daemon.api, "--state", daemon.state];
    expect((await daemon.podway("cni", "install", ...where, "--pools", "v4,v6")).out).not.toContain("written");
    expect(JSON.parse(readFileSync(join(folder, "net.d", "10-podway.conflist"), "utf8"))).toMatchObject({
      name: "podway",
      plugins: [{ type: "podway-cni", socket: daemon.api, pools: ["v4", "v6"] }],
    });
    const other = await daemon.podway("cni", "install", "--bin", join(folder, "bin"), "--conf", join(folder, "net.d"), "--network", "a b");
    expect([other.code, other.err]).toEqual([1, expect.stringContaining("no name of a network")]);
    expect((await daemon.podway("cni", "uninstall", ...where)).code).toBe(0);
    expect([readdirSync(join(folder, "bin")), readdirSync(join(folder, "net.d"))]).toEqual([[], []]);
  });
});
