/** The doors of CNI judged by who knocks: podman, ctr, the CRI, libcni, and the stock plugins before and after ours. */
import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type PoolView, podPaths } from "#daemon/pod-control.ts";
import { Namespace, until } from "../contract/kernel-netns.ts";
import { type CniNode, CniWorld, holders, inNode, need, nothingLeft, stockPlugins } from "./cni-world.ts";
import { Containerd } from "./containerd.ts";
import type { DoorRow } from "./docker.ts";
import { makeImage, Podman } from "./podman.ts";

type Row = (door: string, what: string, work: () => string | Promise<string>) => Promise<void>;
/** A container by the process whose network it is, and its addresses. */
interface Container {
  readonly name: string;
  readonly pid: string;
  readonly addresses: readonly string[];
}

/** Runs everything; a row that fails does not keep the others from being tried. */
export async function judgeCni(told: (row: DoorRow) => void): Promise<readonly DoorRow[]> {
  const rows: DoorRow[] = [];
  const row: Row = async (door, what, work) => {
    const result = await Promise.resolve()
      .then(work)
      .then(
        (seen) => ({ seen, passed: true }),
        (cause: unknown) => ({ seen: (cause as Error).message.replaceAll("\n", " "), passed: false }),
      );
    rows.push({ door, what, ...result });
    told(rows.at(-1)!);
  };
  const world = await CniWorld.make(),
    [one, two, three] = world.nodes;
  const podman = new Podman(one),
    containerd = [new Containerd(two), new Containerd(three)] as const;
  try {
    const archive = join(world.directory, "box.tar");
    podman.run("import", "--change", 'CMD ["/bin/sleep","100000"]', makeImage(world.directory), "docker.io/library/box:latest");
    podman.run("save", "--format", "docker-archive", "-o", archive, "docker.io/library/box:latest");
    for (const engine of containerd) await engine.start(archive);
    await judgeReach(row, { world, podman, ctr: containerd[0], cri: containerd[1] });
    await judgePodman(row, podman, one);
    await judgeLibcni(row, two, world.directory);
    await judgeStock(row, three);
    for (const node of world.nodes) await row("all", `everything removed on ${node.name}`, () => nothingLeft(node));
  } finally {
    for (const engine of containerd) await engine.stop();
    try {
      podman.run("rm", "-af", "-t", "0");
    } catch {
      // what failed has been told in its row
    }
    await world.remove();
  }
  return rows;
}

interface Engines {
  readonly world: CniWorld;
  readonly podman: Podman;
  readonly ctr: Containerd;
  readonly cri: Containerd;
}

async function judgeReach(row: Row, { world, podman, ctr, cri }: Engines): Promise<void> {
  const all: Container[] = [];
  let sandbox = "";
  await row("podman", "run --network podway -p 8080:80", async () => {
    const began = performance.now();
    podman.run("run", "-d", "--name", "p1", "--network", "podway", "-p", "8080:80", "box");
    all.push({ name: "podman p1", pid: podman.run("inspect", "-f", "{{.State.Pid}}", "p1"), addresses: podman.addresses("p1", "podway") });
    return `${((performance.now() - began) / 1000).toFixed(2)} s, ${all.at(-1)!.addresses.join(" and ")}`;
  });
  await row("ctr", "run --cni", async () => {
    ctr.ctr("run", "-d", "--snapshotter", "native", "--cni", "docker.io/library/box:latest", "t1", "sleep", "100000");
    all.push(await containerOf(world.nodes[1], "ctr t1", "default-t1", pidOf(ctr.ctr("task", "ls"), "t1")));
    return all.at(-1)!.addresses.join(" and ");
  });
  await row("cri", "RunPodSandbox with a host port, as a kubelet makes it", async () => {
    const config = {
      metadata: { name: "web-0", uid: "uid-1", namespace: "default", attempt: 0 },
      hostname: "web-0",
      port_mappings: [{ protocol: 0, container_port: 80, host_port: 8080 }],
      linux: {},
    };
    const began = performance.now();
    const { pod_sandbox_id: id } = await cri.cri<{ pod_sandbox_id: string }>("RunPodSandbox", { config });
    const took = performance.now() - began;
    sandbox = id;
    const { status } = await cri.cri<{ status: { network: { ip: string } } }>("PodSandboxStatus", { pod_sandbox_id: id });
    all.push(await containerOf(world.nodes[2], "CRI web-0", id, pidOf(cri.ctr("-n", "k8s.io", "task", "ls"), id)));
    return `${Math.round(took)} ms; the CRI says ${status.network.ip}, owner ${await ownerOf(world.nodes[2], id)}`;
  });
  await row("all", "ping and TCP between all three nodes' containers, routed pools, both families", () => reachAll(all));
  await row("all", "published ports of two nodes from the third", () => {
    const asked = [world.nodes[0].address, world.nodes[2].address].map((address) =>
      need(...inNode(world.nodes[1], "busybox", "wget", "-q", "-O", "-", `http://${address}:8080/`)),
    );
    if (asked.some((text) => text !== "hello")) throw new Error(asked.join(", "));
    return "a page from podman's -p and from the CRI's port_mappings";
  });
  await row("cri", "StopPodSandbox twice, RemovePodSandbox: DEL without namespace and without result", async () => {
    for (const method of ["StopPodSandbox", "StopPodSandbox", "RemovePodSandbox"]) await cri.cri(method, { pod_sandbox_id: sandbox });
    if ((await holders(world.nodes[2])).length > 0) throw new Error("its addresses are still used");
    return "addresses freed once, no error";
  });
  await row("ctr", "run --rm --cni to its end: DEL with an empty CNI_NETNS", async () => {
    const before = await holders(world.nodes[1]);
    ctr.ctr("run", "--rm", "--snapshotter", "native", "--cni", "docker.io/library/box:latest", "t2", "sleep", "1");
    const after = await holders(world.nodes[1]);
    if (after.join() !== before.join()) throw new Error(`held: ${after.join(", ")}`);
    return "addresses freed";
  });
  await row("ctr", "a detached task ends: no DEL comes, GC of 1.1 removes what is left", async () => {
    ctr.ctr("task", "kill", "-s", "SIGKILL", "t1");
    await until("t1 has ended", () => !ctr.ctr("task", "ls").includes("RUNNING"), 10_000);
    ctr.ctr("container", "rm", "t1");
    const left = await holders(world.nodes[1]);
    plugin(world.nodes[1], "GC", { network: "podway", netns: "", id: "" });
    if ((await holders(world.nodes[1])).length > 0) throw new Error("still held");
    return `${left.length} addresses left by ctr, none after GC`;
  });
  await row("podman", "containers of all nodes by the overlay pool", async () => {
    podman.run("run", "-d", "--name", "o1", "--network", "wide", "box");
    const far = new Namespace("cni-o2"),
      network = "wide";
    try {
      const node = world.nodes[1];
      const { ips } = add(node, network, `/run/netns/${far.name}`, "o2");
      const target = ips[0]!.address.split("/")[0]!;
      const pid = podman.run("inspect", "-f", "{{.State.Pid}}", "o1");
      need("nsenter", ["-t", pid, "-n", "ping", "-c1", "-W3", target]);
      del(node, network, `/run/netns/${far.name}`, "o2");
      return `${podman.addresses("o1", network)[0]} reaches ${target} of n2 by VXLAN`;
    } finally {
      far.remove();
    }
  });
}

async function judgePodman(row: Row, podman: Podman, node: CniNode): Promise<void> {
  await row("podman", "--ip and --mac-address, by CNI_ARGS", async () => {
    const { nodeCidr } = (await node.daemon.get<readonly PoolView[]>(podPaths.pools))[0]!;
    const address = nodeCidr!.replace(/\.0\/\d+$/, ".77");
    podman.run("run", "-d", "--name", "s1", "--network", `podway:ip=${address},mac=02:42:00:00:00:77`, "box");
    const seen = podman.run("exec", "s1", "ip", "-o", "addr");
    if (!seen.includes(address)) throw new Error(seen);
    podman.run("rm", "-f", "-t", "0", "s1");
    return address;
  });
  await row("podman", "network connect and disconnect: eth1 beside eth0", () => {
    podman.run("network", "connect", "wide", "p1");
    const there = podman.run("exec", "p1", "ip", "-o", "link").includes("eth1");
    podman.run("network", "disconnect", "wide", "p1");
    const after = podman.run("exec", "p1", "ip", "-o", "link").includes("eth1");
    if (!there || after) throw new Error(`eth1 there ${there}, after ${after}`);
    return "eth1 came and went";
  });
  await row("podman", "stop, start: the name is the owner, the address comes back", () => {
    const before = podman.addresses("p1", "podway");
    podman.run("stop", "-t", "0", "p1");
    podman.run("start", "p1");
    const after = podman.addresses("p1", "podway");
    if (before.join() !== after.join()) throw new Error(`${before.join()} became ${after.join()}`);
    return `${after.join(" and ")} as before`;
  });
  await row("podman", "network reload: DEL and ADD in one namespace", () => {
    podman.run("network", "reload", "p1");
    need("nsenter", ["-t", podman.run("inspect", "-f", "{{.State.Pid}}", "p1"), "-n", "ping", "-c1", "-W3", node.address]);
    return "reaches the node right after";
  });
  await row("podman", "a port that is taken is refused in one sentence", () => {
    try {
      podman.run("run", "-d", "--name", "x1", "--network", "podway", "-p", "8080:80", "box");
    } catch (cause) {
      podman.run("rm", "-f", "-t", "0", "x1");
      return (cause as Error).message.replace(/^.*(?:plugin|Error)[^:]*: /s, "").slice(0, 160);
    }
    throw new Error("it was not refused");
  });
  await row("podman", "rm while no podwayd runs: the DEL is made good at the start", async () => {
    await node.daemon.end("SIGKILL");
    podman.run("rm", "-f", "-t", "0", "p1");
    await node.start();
    await until("p1's addresses are free", async () => (await holders(node)).every((id) => id !== "p1") && (await holders(node)).length === 1, 15_000);
    podman.run("rm", "-f", "-t", "0", "o1");
    return "podman saw no error; the addresses were freed by the daemon's start";
  });
}

async function judgeLibcni(row: Row, node: CniNode, directory: string): Promise<void> {
  const program = join(directory, "libcni"),
    source = join(directory, "go/src/libcni");
  const pod = new Namespace("cni-go"),
    netns = `/run/netns/${pod.name}`;
  const env = { NETCONFPATH: node.networks, CNI_PATH: `${node.plugins}:${stockPlugins}`, CNI_CACHE: join(directory, "cache") };
  const go = (verb: string, more: Readonly<Record<string, string>> = {}): string => need(...inNode(node, program, verb, "podway", netns), { ...env, ...more });
  await row("libcni", "built from Debian's library", () => {
    mkdirSync(source, { recursive: true });
    cpSync(join(import.meta.dirname, "libcni.go"), join(source, "main.go"));
    need("go", ["build", "-o", program, "libcni"], {
      GO111MODULE: "off",
      GOPATH: `${join(directory, "go")}:/usr/share/gocode`,
      GOCACHE: join(directory, "gocache"),
    });
    return need("dpkg-query", ["-W", "-f", "${Package} ${Version}", "golang-github-appc-cni-dev"]);
  });
  await row("libcni", "ADD with ports, bandwidth, MAC and addresses; CHECK by its cache; DEL twice", async () => {
    const capabilities = JSON.stringify({
      portMappings: [{ hostPort: 9090, containerPort: 80, protocol: "tcp" }],
      bandwidth: { ingressRate: 8_000_000, ingressBurst: 1 },
      mac: "02:42:00:00:00:42",
    });
    const result = JSON.parse(go("add", { CAPABILITIES: capabilities })) as { ips: { address: string }[]; interfaces: { mac: string }[] };
    go("check");
    pod.ip(`addr del ${result.ips[0]!.address} dev eth0`);
    const refused = refusal(() => go("check"));
    go("del");
    go("del");
    if (result.interfaces[1]!.mac !== "02:42:00:00:00:42" || (await holders(node)).length > 0) throw new Error(JSON.stringify(result));
    return `${result.ips.map(({ address }) => address).join(" and ")}; CHECK after a change: ${refused}`;
  });
  for (const [name, after] of [
    [
      "portmap, bandwidth and tuning after ours",
      [
        { type: "portmap", capabilities: { portMappings: true } },
        { type: "bandwidth", ingressRate: 8e6, ingressBurst: 8e5, egressRate: 8e6, egressBurst: 8e5 },
        { type: "tuning", sysctl: { "net.core.somaxconn": "500" }, mtu: 1400 },
      ],
    ],
  ] as const)
    await row("libcni", name, async () => {
      const list = { cniVersion: "1.0.0", name: "chained", plugins: [{ type: "podway-cni", socket: node.daemon.api, pools: ["routed", "six"] }, ...after] };
      writeFileSync(join(node.networks, "20-chained.conflist"), JSON.stringify(list));
      const chained = (verb: string, more: Readonly<Record<string, string>> = {}): string =>
        need(...inNode(node, program, verb, "chained", netns), { ...env, ...more });
      chained("add", { CAPABILITIES: JSON.stringify({ portMappings: [{ hostPort: 9091, containerPort: 80, protocol: "tcp" }] }) });
      const mtu = pod.json("link show dev eth0")[0]!["mtu"];
      chained("del");
      if (mtu !== 1400 || (await holders(node)).length > 0) throw new Error(`mtu ${String(mtu)}`);
      return "ADD and DEL; tuning's MTU 1400 is in the pod";
    });
  pod.remove();
}

async function judgeStock(row: Row, node: CniNode): Promise<void> {
  const { nodeCidr } = (await node.daemon.get<readonly PoolView[]>(podPaths.pools)).find(({ name }) => name === "stock")!;
  for (const [type, more] of [
    ["bridge", { bridge: "br-stock", isGateway: true }],
    ["ptp", {}],
    ["macvlan", { master: "eth0", mode: "bridge" }],
  ] as const)
    await row("stock", `${type} with podway-ipam: ADD, CHECK, DEL, DEL`, async () => {
      const pod = new Namespace(`cni-${type}`);
      try {
        const ipam = { type: "podway-ipam", socket: node.daemon.api, spool: join(node.daemon.state, "cni-spool"), pools: ["stock"] };
        const config = { cniVersion: "1.0.0", name: "stock", type, ...more, ipam };
        const env = { CNI_CONTAINERID: `stock-${type}`, CNI_NETNS: `/run/netns/${pod.name}`, CNI_IFNAME: "eth0", CNI_PATH: `${node.plugins}:${stockPlugins}` };
        const call = (command: string, body: object): string =>
          need(...inNode(node, join(stockPlugins, type)), { ...env, CNI_COMMAND: command }, JSON.stringify(body));
        const result = JSON.parse(call("ADD", config)) as { ips: { address: string; gateway: string }[] };
        const { address, gateway } = result.ips[0]!;
        if (address.split("/")[1] !== nodeCidr!.split("/")[1]) throw new Error(`${address} in ${nodeCidr}`);
        call("CHECK", { ...config, prevResult: result });
        if (type !== "macvlan") pod.exec(`ping -c1 -W2 ${gateway}`);
        for (const prevResult of [result, undefined]) call("DEL", { ...config, ...(prevResult && { prevResult }) });
        if ((await holders(node)).length > 0) throw new Error("its address is still used");
        return `${address}, gateway ${gateway}${type === "macvlan" ? "" : " answers"}`;
      } finally {
        pod.remove();
      }
    });
}

function add(node: CniNode, network: string, netns: string, id: string): { readonly ips: readonly { readonly address: string }[] } {
  return JSON.parse(plugin(node, "ADD", { network, netns, id })) as { ips: { address: string }[] };
}
const del = (node: CniNode, network: string, netns: string, id: string): string => plugin(node, "DEL", { network, netns, id });
function plugin(node: CniNode, command: string, of: { readonly network: string; readonly netns: string; readonly id: string }): string {
  const config = { cniVersion: "1.1.0", name: of.network, type: "podway-cni", socket: node.daemon.api, pools: ["overlay"], "cni.dev/valid-attachments": [] };
  const env = { CNI_COMMAND: command, CNI_CONTAINERID: of.id, CNI_NETNS: of.netns, CNI_IFNAME: "eth0", CNI_PATH: node.plugins };
  return need(...inNode(node, join(node.plugins, "podway-cni")), env, JSON.stringify(config));
}

function reachAll(all: readonly Container[]): string {
  if (all.length < 3) throw new Error("not all of them are there");
  for (const { pid } of all) need("nsenter", ["-t", pid, "-n", "-r", "/bin/httpd", "-p", "80", "-h", "/www"]);
  let count = 0;
  for (const from of all)
    for (const to of all)
      for (const address of from === to ? [] : to.addresses) {
        need("nsenter", ["-t", from.pid, "-n", "ping", "-c1", "-W3", address]);
        const host = address.includes(":") ? `[${address}]` : address;
        const page = need("nsenter", ["-t", from.pid, "-n", "busybox", "wget", "-q", "-O", "-", `http://${host}/`]);
        if (page !== "hello") throw new Error(`${from.name} got ${JSON.stringify(page)} from ${to.name} at ${address}`);
        count++;
      }
  return `${count} pairs: ${all.map(({ name }) => name).join(", ")}`;
}

async function containerOf(node: CniNode, name: string, id: string, pid: string): Promise<Container> {
  const attachments = await node.daemon.get<readonly { containerId: string; addresses: readonly { address: string }[] }[]>(podPaths.attachments);
  const own = attachments.find(({ containerId }) => containerId === id);
  if (own === undefined) throw new Error(`no attachment of ${id}: ${attachments.map(({ containerId }) => containerId).join(", ")}`);
  return { name, pid, addresses: own.addresses.map(({ address }) => address) };
}
async function ownerOf(node: CniNode, id: string): Promise<string> {
  const all = await node.daemon.get<readonly { containerId: string | null; owner: string | null }[]>(podPaths.addresses);
  return all.find(({ containerId }) => containerId === id)?.owner ?? "none";
}
function pidOf(list: string, id: string): string {
  const line = list.split("\n").find((text) => text.startsWith(id));
  if (line === undefined) throw new Error(`no task ${id}: ${list}`);
  return line.split(/\s+/)[1]!;
}
function refusal(work: () => unknown): string {
  try {
    work();
  } catch (cause) {
    return (cause as Error).message.replace(/^.*?: /s, "");
  }
  throw new Error("it was not refused");
}
