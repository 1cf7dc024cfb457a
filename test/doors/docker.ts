/** Docker's door judged by a real dockerd on each of two nodes: what was done, and what was seen. */
import { readFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { type AddressView, type AttachmentView, type PoolView, podPaths } from "#daemon/pod-control.ts";
import { Namespace } from "../contract/kernel-netns.ts";
import { until } from "../daemon/daemon-process.ts";
import { type DockerNode, DockerWorld } from "./docker-world.ts";

export interface DoorRow {
  readonly door: string;
  readonly what: string;
  /** What was seen; what was wrong, if it failed. */
  readonly seen: string;
  readonly passed: boolean;
}

const image = "box";
const seconds = (millis: number): string => `${(millis / 1000).toFixed(2)} s`;

/** Runs everything; a row that fails does not keep the others from being tried. */
export async function judgeDocker(told: (row: DoorRow) => void): Promise<readonly DoorRow[]> {
  const rows: DoorRow[] = [];
  const world = await DockerWorld.make();
  const row = async (what: string, work: () => string | Promise<string>): Promise<void> => {
    const result = await Promise.resolve()
      .then(work)
      .then(
        (seen) => ({ seen, passed: true }),
        (cause: unknown) => ({ seen: (cause as Error).message.replaceAll("\n", " "), passed: false }),
      );
    const made = { door: "docker", what, ...result };
    rows.push(made);
    told(made);
  };
  try {
    for (const { engine } of world.nodes) engine.importBusybox(image);
    for (const judge of [judgeReach, judgeAddresses, judgeNetworks, judgeRestarts, judgeRefusals]) await judge(world, row);
    await row("everything removed", () => nothingLeft(world));
  } finally {
    await world.remove();
  }
  return rows;
}

type Row = (what: string, work: () => string | Promise<string>) => Promise<void>;

async function judgeReach({ nodes }: DockerWorld, row: Row): Promise<void> {
  const [one, two] = nodes;
  await row("network create, IPv4 and IPv6, on both nodes", () => {
    const began = performance.now();
    for (const node of nodes) createNetwork(node, "net", "--ipv6");
    return `${seconds((performance.now() - began) / 2)} each; subnets ${one.engine.need("network", "inspect", "-f", "{{range .IPAM.Config}}{{.Subnet}} {{end}}", "net")}`;
  });
  await row("Docker's FORWARD policy drops pods: status says so, and what it advises helps", async () => {
    for (const node of nodes) await letThrough(node);
    return "1 warning on each node; none after its commands";
  });
  await row("run on both nodes; ping by IPv4 and IPv6", () => {
    const began = performance.now();
    for (const node of nodes) run(node, "c1", "net");
    const took = (performance.now() - began) / 2;
    const { ipv4, ipv6 } = addressOf(two, "c1", "net");
    ping(one, "c1", ipv4);
    ping(one, "c1", ipv6);
    return `run ${seconds(took)}; ${addressOf(one, "c1", "net").ipv4} reaches ${ipv4} and ${ipv6} of the other node`;
  });
  await row("TCP between containers of two nodes", async () => {
    two.engine.need("exec", "-d", "c1", "nc", "-ll", "-p", "80", "-e", "echo", "hello");
    const { ipv4, ipv6 } = addressOf(two, "c1", "net");
    for (const host of [ipv4, ipv6])
      await until(`an answer from ${host}`, () => one.engine.docker("exec", "c1", "sh", "-c", `nc -w 3 ${host} 80 </dev/null`).out === "hello");
    return "an answer by IPv4 and by IPv6";
  });
  await row("-p: a port of the node, of one chosen by Podway, refused twice, gone with the container", async () => {
    run(one, "p1", "net", "-p", "8081:80", "-p", "81");
    one.engine.need("exec", "-d", "p1", "nc", "-ll", "-p", "80", "-e", "echo", "web");
    one.engine.need("exec", "-d", "p1", "nc", "-ll", "-p", "81", "-e", "echo", "other");
    const ports = (await ask<readonly AttachmentView[]>(one, "GET", podPaths.attachments)).flatMap(({ portMappings }) => portMappings);
    const chosen = ports.find(({ containerPort }) => containerPort === 81)!.hostPort;
    const answerOf = (port: number): string => two.engine.docker("exec", "c1", "sh", "-c", `nc -w 3 ${one.address} ${port} </dev/null`).out;
    await until("the published port answers", () => answerOf(8081) === "web" && answerOf(chosen) === "other");
    const refused = one.engine.docker("run", "--rm", "--network", "net", "-p", "8081:80", image, "true");
    one.engine.need("rm", "-f", "p1");
    if (answerOf(8081) === "web") throw new Error("the port is still published");
    return `8081 and ${chosen} from the other node; second: ${refusal(refused.err)}`;
  });
  await row("a container and a pod of the CNI door, on two nodes, both ways", async () => {
    const pod = new Namespace("doors-pod");
    try {
      const body = { containerId: "pod1", ifname: "eth0", netns: `/run/netns/${pod.name}`, network: "cni" };
      const made = await ask<AttachmentView>(two, "POST", podPaths.attachments, body);
      const own = addressOf(one, "c1", "net");
      for (const { address } of made.addresses) ping(one, "c1", address);
      for (const address of [own.ipv4, own.ipv6]) pod.exec(`ping -c1 -W2 ${address}`);
      await ask(two, "POST", podPaths.attachmentsCollect, { network: "cni", living: [] });
      return `${made.addresses.map(({ address }) => address).join(" and ")} and ${own.ipv4} reach each other`;
    } finally {
      pod.remove();
    }
  });
  await row("twenty containers started at once", async () => {
    const began = performance.now();
    const names = Array.from({ length: 20 }, (_, at) => `many${at}`);
    const told = await Promise.all(names.map((name) => one.engine.later("run", "-d", "--name", name, "--network", "net", image, "sleep", "1000")));
    for (const { code, err } of told) if (code !== 0) throw new Error(err);
    const took = performance.now() - began;
    const given = names.map((name) => addressOf(one, name, "net").ipv4);
    if (new Set(given).size !== names.length) throw new Error(`addresses twice: ${given.join(" ")}`);
    one.engine.need("rm", "-f", ...names);
    return `${seconds(took)} in all, twenty addresses`;
  });
}

async function judgeAddresses({ nodes: [one] }: DockerWorld, row: Row): Promise<void> {
  const cidr = await nodeCidr(one, "routed"),
    six = await nodeCidr(one, "six");
  const fixed = cidr.replace(/0\/24$/, "77"),
    fixed6 = six.replace(/::\/64$/, "::77");
  createNetwork(one, "fixed", "--ipv6", "--subnet", "10.42.0.0/16", "--subnet", "fd42::/48");
  await row("--ip and --ip6: given, kept over stop and start, refused to a second one", () => {
    run(one, "s1", "fixed", "--ip", fixed, "--ip6", fixed6);
    one.engine.need("stop", "-t", "0", "s1");
    one.engine.need("start", "s1");
    const seen = addressOf(one, "s1", "fixed");
    if (seen.ipv4 !== fixed || seen.ipv6 !== fixed6) throw new Error(`got ${seen.ipv4} and ${seen.ipv6}`);
    const refused = one.engine.docker("run", "--rm", "--network", "fixed", "--ip", fixed, image, "true");
    one.engine.need("rm", "-f", "s1");
    return `${fixed}, ${fixed6}; second: ${refusal(refused.err)}`;
  });
  await row("--mac-address: a container that stops and starts has its addresses back", () => {
    run(one, "m1", "net", "--mac-address", "02:42:0a:0b:0c:0d");
    const before = addressOf(one, "m1", "net");
    one.engine.need("stop", "-t", "0", "m1");
    run(one, "between", "net");
    one.engine.need("start", "m1");
    const after = addressOf(one, "m1", "net");
    one.engine.need("rm", "-f", "m1", "between");
    if (after.ipv4 !== before.ipv4 || after.ipv6 !== before.ipv6) throw new Error(`${before.ipv4} ${before.ipv6} became ${after.ipv4} ${after.ipv6}`);
    return `${after.ipv4} and ${after.ipv6}, though another container came between`;
  });
  await row("--gateway out of the node's CIDR, and --aux-address", () => {
    const gateway = cidr.replace(/0\/24$/, "201"),
      kept = cidr.replace(/0\/24$/, "202");
    createNetwork(one, "gw", "--subnet", cidr, "--gateway", gateway, "--aux-address", `rtr=${kept}`);
    run(one, "g1", "gw");
    ping(one, "g1", gateway);
    const way = wayOut(one, "g1");
    if (!way.includes(gateway)) throw new Error(way);
    const refused = one.engine.docker("run", "--rm", "--network", "gw", "--ip", kept, image, "true");
    one.engine.need("rm", "-f", "g1");
    one.engine.need("network", "rm", "gw");
    return `default via ${gateway}; ${refusal(refused.err)}`;
  });
  await row("Docker's own IPAM: refused; none (null): Podway chooses", () => {
    const refused = one.engine.docker("network", "create", "-d", one.driver, "--subnet", cidr, "own");
    one.engine.need("network", "create", "-d", one.driver, "--ipam-driver", "null", "none4");
    run(one, "o1", "none4");
    ping(one, "o1", addressOf(one, "c1", "net").ipv4);
    one.engine.need("rm", "-f", "o1");
    one.engine.need("network", "rm", "none4");
    return refusal(refused.err);
  });
  one.engine.need("network", "rm", "fixed");
}

async function judgeNetworks({ nodes }: DockerWorld, row: Row): Promise<void> {
  const [one, two] = nodes;
  for (const node of nodes) createNetwork(node, "over", "--ipam-opt", "pool=overlay");
  await row("an overlay pool across nodes", () => {
    for (const node of nodes) run(node, "v1", "over");
    const { ipv4 } = addressOf(two, "v1", "over");
    ping(one, "v1", ipv4);
    const mtu = one.engine.need("exec", "v1", "cat", "/sys/class/net/eth0/mtu");
    return `${ipv4} answers; MTU ${mtu}`;
  });
  await row("network connect and disconnect: the way out moves along", () => {
    one.engine.need("network", "connect", "over", "c1");
    const devices = one.engine.need("exec", "c1", "sh", "-c", "ls -1 /sys/class/net | grep eth | tr '\\n' ' '");
    ping(one, "c1", addressOf(two, "v1", "over").ipv4);
    ping(one, "c1", addressOf(two, "c1", "net").ipv4);
    ping(two, "v1", addressOf(one, "c1", "over").ipv4);
    one.engine.need("network", "disconnect", "net", "c1");
    const left = wayOut(one, "c1");
    ping(one, "c1", addressOf(two, "v1", "over").ipv4);
    one.engine.need("network", "connect", "net", "c1");
    ping(one, "c1", addressOf(two, "c1", "net").ipv4);
    one.engine.need("network", "disconnect", "over", "c1");
    ping(one, "c1", addressOf(two, "c1", "net").ipv6);
    return `${devices}; after disconnect: ${left}; and back`;
  });
  await row("two networks on one pool in one container", () => {
    createNetwork(one, "net2");
    one.engine.need("network", "connect", "net2", "c1");
    ping(two, "c1", addressOf(one, "c1", "net2").ipv4);
    one.engine.need("network", "disconnect", "net", "c1");
    ping(two, "c1", addressOf(one, "c1", "net2").ipv4);
    ping(one, "c1", addressOf(two, "c1", "net").ipv4);
    one.engine.need("network", "connect", "net", "c1");
    one.engine.need("network", "disconnect", "net2", "c1");
    one.engine.need("network", "rm", "net2");
    return "both addresses answer; the second alone too";
  });
  await row("--internal: peers of the pool, and no way out", () => {
    createNetwork(one, "inside", "--internal");
    run(one, "i1", "inside");
    ping(one, "i1", addressOf(two, "c1", "net").ipv4);
    const way = wayOut(one, "i1"),
      devices = one.engine.need("exec", "i1", "sh", "-c", "ls -1 /sys/class/net | grep -c eth");
    one.engine.need("rm", "-f", "i1");
    one.engine.need("network", "rm", "inside");
    if (way !== "" || devices !== "1") throw new Error(`${way}, ${devices} devices`);
    return "a container of the other node answers; no default route, no second device";
  });
  for (const { engine } of nodes) engine.need("rm", "-f", "v1");
  for (const { engine } of nodes) engine.need("network", "rm", "over");
}

async function judgeRestarts({ nodes }: DockerWorld, row: Row): Promise<void> {
  const [one, two] = nodes;
  const peer = (): string => addressOf(two, "c1", "net").ipv4;
  for (const signal of ["SIGTERM", "SIGKILL"] as const)
    await row(`podwayd ${signal} and start: containers keep their way`, async () => {
      const before = addressOf(one, "c1", "net").ipv4;
      await one.daemon.end(signal);
      ping(one, "c1", peer());
      await one.startDaemon();
      ping(one, "c1", peer());
      run(one, "after", "net");
      ping(one, "after", peer());
      one.engine.need("rm", "-f", "after");
      if (addressOf(one, "c1", "net").ipv4 !== before) throw new Error("its address changed");
      return "reached while podwayd was down and after; a new container starts; rm works";
    });
  await row("rm -f of a container while podwayd is down, then podwayd again", async () => {
    run(one, "orphan", "net");
    await one.daemon.end("SIGKILL");
    const removing = one.engine.later("rm", "-f", "orphan");
    await one.startDaemon();
    const { code, err } = await removing;
    if (code !== 0) throw new Error(err);
    return "Docker waits and goes on when podwayd is back";
  });
  for (const signal of ["SIGTERM", "SIGKILL"] as const)
    await row(`dockerd ${signal} and start`, async () => {
      await one.engine.end(signal);
      const took = await one.engine.start();
      one.engine.need("start", "c1");
      ping(one, "c1", peer());
      return `starts in ${took.toFixed(1)} s; the container runs again; ${await countUsed(one)} addresses in use`;
    });
  await row("dockerd --live-restore: a container outlives dockerd", async () => {
    await one.engine.end("SIGTERM");
    await one.engine.start("--live-restore");
    one.engine.need("start", "c1");
    const own = addressOf(one, "c1", "net").ipv4;
    await one.engine.end("SIGTERM");
    ping(two, "c1", own);
    await one.engine.start("--live-restore");
    ping(one, "c1", peer());
    if (addressOf(one, "c1", "net").ipv4 !== own) throw new Error("its address changed");
    return `${own} answers without dockerd, and after`;
  });
  await row("kill -9 of dockerd and podwayd at once", async () => {
    await Promise.all([one.engine.end("SIGKILL"), one.daemon.end("SIGKILL")]);
    await Promise.all([one.startDaemon(), one.engine.start()]);
    one.engine.docker("start", "c1");
    ping(one, "c1", peer());
    return `both are back; ${await countUsed(one)} addresses in use`;
  });
  await row("dockerd starts while podwayd is down", async () => {
    await Promise.all([one.engine.end("SIGTERM"), one.daemon.end("SIGTERM")]);
    const took = await one.engine.start();
    await one.startDaemon();
    one.engine.need("start", "c1");
    ping(one, "c1", peer());
    return `after ${took.toFixed(0)} s (Docker's own two waits of 15 s); works once podwayd is there`;
  });
}

async function judgeRefusals({ nodes: [one] }: DockerWorld, row: Row): Promise<void> {
  const create = (...args: string[]): string =>
    refusal(one.engine.docker("network", "create", "-d", one.driver, "--ipam-driver", one.driver, ...args, "bad").err);
  await row("a pool that is not there", () => create("--ipam-opt", "pool=nope"));
  await row("a subnet that is no pool", () => create("--subnet", "10.99.0.0/16"));
  await row("a subnet that overlaps a pool", () => create("--subnet", "10.42.0.0/15"));
  await row("a range the node does not have", () => create("--subnet", "10.42.0.0/16", "--ip-range", "10.42.255.128/25"));
  await row("an MTU that is none", () => create("-o", "com.docker.network.driver.mtu=x"));
  await row("an address of another node", () => {
    createNetwork(one, "fixed", "--subnet", "10.42.0.0/16");
    const said = refusal(one.engine.docker("run", "--rm", "--network", "fixed", "--ip", "10.42.255.1", image, "true").err);
    one.engine.need("network", "rm", "fixed");
    return said;
  });
  await row("a full pool", async () => {
    createNetwork(one, "small", "--ipam-opt", "pool=small");
    const names: string[] = [];
    let said = "";
    while (said === "" && names.length < 9) {
      const { code, err } = one.engine.docker("run", "-d", "--name", `f${names.length}`, "--network", "small", image, "sleep", "1000");
      names.push(`f${names.length}`);
      if (code !== 0) said = refusal(err);
    }
    one.engine.need("rm", "-f", ...names);
    one.engine.need("network", "rm", "small");
    return `after ${names.length - 1} containers: ${said}; ${await countUsed(one)} addresses in use after`;
  });
}

/** No address, no link, no word of a network. */
async function nothingLeft({ nodes }: DockerWorld): Promise<string> {
  for (const { engine } of nodes) {
    engine.need("rm", "-f", "c1");
    engine.need("network", "rm", "net");
  }
  for (const node of nodes) {
    const links = node.namespace.json("link show type veth").filter(({ ifname }) => /^p[cw][0-9a-f]{11}$/.test(String(ifname)));
    const state = JSON.parse(readFileSync(join(node.daemon.state, "docker.json"), "utf8")) as { readonly networks: object; readonly endpoints: object };
    const left = [await countUsed(node), links.length, Object.keys(state.networks).length, Object.keys(state.endpoints).length];
    if (left.some((count) => count > 0)) throw new Error(`${node.name}: ${left.join(", ")} addresses, links, networks, endpoints are left`);
  }
  return "no address in use, no link, no network and no endpoint remembered, on both nodes";
}

function createNetwork({ engine, driver }: DockerNode, name: string, ...args: string[]): void {
  engine.need("network", "create", "-d", driver, "--ipam-driver", driver, ...args, name);
}
function run({ engine }: DockerNode, name: string, network: string, ...args: string[]): void {
  engine.need("run", "-d", "--stop-timeout", "0", "--name", name, "--network", network, ...args, image, "sleep", "100000");
}
function ping({ engine, name }: DockerNode, container: string, address: string): void {
  const { code, out, err } = engine.docker("exec", container, "ping", "-c", "3", "-W", "3", address);
  if (code !== 0) throw new Error(`${container} of ${name} does not reach ${address}: ${out} ${err}`);
}

/** Empty if there is none. */
const wayOut = ({ engine }: DockerNode, container: string): string => engine.need("exec", container, "sh", "-c", "ip route | grep ^default || true");

interface Addresses {
  readonly ipv4: string;
  readonly ipv6: string;
}
function addressOf({ engine }: DockerNode, container: string, network: string): Addresses {
  const text = engine.need(
    "inspect",
    "-f",
    `{{(index .NetworkSettings.Networks "${network}").IPAddress}} {{(index .NetworkSettings.Networks "${network}").GlobalIPv6Address}}`,
    container,
  );
  const [ipv4 = "", ipv6 = ""] = text.split(" ");
  return { ipv4, ipv6 };
}

/** Docker's sentence; throws if there is none, or if it is more than one line. */
function refusal(err: string): string {
  const said = /(?:Error response from daemon|docker: Error response from daemon): (.*)/.exec(err)?.[1];
  if (said === undefined) throw new Error(`Docker did not refuse: ${err || "it did it"}`);
  return said;
}

const forwardWarnings = async ({ daemon }: DockerNode): Promise<readonly string[]> =>
  (await daemon.status()).warnings.filter((text) => text.startsWith("chain FORWARD"));
/** Runs what the warning about dropped packets advises, as an operator would. */
async function letThrough(node: DockerNode): Promise<void> {
  await until(`${node.name} warns of the FORWARD chain`, async () => (await forwardWarnings(node)).length > 0, 30_000);
  for (const pool of ["10.42.0.0/16", "10.44.0.0/16", "10.45.0.0/24"])
    for (const side of ["saddr", "daddr"]) node.namespace.exec(`nft insert rule ip filter DOCKER-USER ip ${side} ${pool} accept`);
  await until(`${node.name} has nothing to warn of`, async () => (await forwardWarnings(node)).length === 0, 30_000);
}

const nodeCidr = async (node: DockerNode, pool: string): Promise<string> =>
  (await ask<readonly PoolView[]>(node, "GET", podPaths.pools)).find(({ name }) => name === pool)!.nodeCidr!;
const countUsed = async (node: DockerNode): Promise<number> =>
  (await ask<readonly AddressView[]>(node, "GET", podPaths.addresses)).filter(({ state }) => state === "used" || state === "reserved").length;

/** A connection each: while a command of Docker runs, this process does not see that the daemon closed an idle one. */
async function ask<T>({ daemon }: DockerNode, method: "GET" | "POST", path: string, body?: object): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const sent = request({ socketPath: daemon.api, method, path, agent: false }, (response) => {
    let text = "";
    response.on("data", (chunk: Buffer) => (text += chunk.toString()));
    response.on("end", () => (response.statusCode === 200 ? resolve(JSON.parse(text) as T) : reject(new Error(text))));
  });
  sent.once("error", reject).end(body === undefined ? undefined : JSON.stringify(body));
  return promise;
}
