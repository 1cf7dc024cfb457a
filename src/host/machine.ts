/** What this machine is like, as far as it lets us see: files of /proc and /sys, our own netlink and nftables doors. Only read. */
import { execFile } from "node:child_process";
import { readFile, readdir, readlink, statfs } from "node:fs/promises";
import { release } from "node:os";
import { openNetlinkKernel } from "#adapters/netlink-kernel.ts";
import { openNftKernel } from "#adapters/nft-kernel.ts";
import { readSysctl } from "#adapters/sysctl.ts";
import type { ForwardView } from "#base/forward-chain.ts";
import type { Ip } from "#base/ip.ts";
import type { Tables } from "#base/kernel-row.ts";
import type { NodeSettings } from "#base/settings.ts";
import type { Underlay } from "#base/underlay.ts";

const commandMillis = 3000;

export interface Machine {
  readonly kernelRelease: string;
  sysctl(path: string): string | undefined;
  /** Undefined where netlink does not let us. */
  readonly underlay: Underlay | undefined;
  /** What carries our mark; undefined where netlink does not let us. */
  readonly ours: Tables | undefined;
  /** Rules of nftables at the forward hook; undefined where they cannot be read. */
  readonly forward: ForwardView | undefined;
  /** Prefixes of routes in the main table, with their device. */
  readonly routes: readonly { readonly prefix: string; readonly device: string }[];
  /** Policy of the FORWARD chain of iptables-legacy: undefined without that table, "unknown" if it cannot be read. */
  readonly legacyForward: "ACCEPT" | "DROP" | "unknown" | undefined;
  /** Foreign VXLAN devices. */
  readonly vxlans: readonly { readonly name: string; readonly vni: number | undefined; readonly port: number | undefined }[];
  /** Driver of each device of hardware. */
  readonly drivers: ReadonlyMap<string, string>;
  /** Names of kernel modules that are there or can be loaded; undefined if this cannot be seen. */
  readonly modules: ReadonlySet<string> | undefined;
  /** Network managers that run, and whether they were told to leave our devices alone. */
  readonly managers: readonly { readonly name: string; readonly told: boolean }[];
  /** A flanneld runs here. */
  readonly hasFlanneld: boolean;
  readonly machineId: string | undefined;
  readonly disk: { readonly isMemory: boolean; readonly freeOctets: number } | undefined;
}

/** Looks at everything once. Never rejects: what cannot be seen is undefined. */
export async function lookAt(settings: NodeSettings, stateDirectory: string): Promise<Machine> {
  const targets = Object.values(settings.nodes).flatMap(({ address, address6 }) => [address, address6].filter((each) => each !== undefined));
  const [kernel, forward, routes, legacyForward, vxlans, modules, managers, hasFlanneld] = await Promise.all([
    kernelFacts(settings.kernel.routeProtocol, targets).catch(() => undefined),
    forwardRules().catch(() => undefined),
    mainRoutes(),
    legacyPolicy(),
    foreignVxlans(),
    kernelModules(),
    networkManagers(),
    runs("flanneld"),
  ]);
  return {
    kernelRelease: release(),
    sysctl: readSysctl,
    underlay: kernel?.underlay,
    ours: kernel?.ours,
    forward,
    routes,
    legacyForward,
    vxlans,
    drivers: await driversOf(),
    modules,
    managers,
    hasFlanneld,
    machineId: (await textOf("/etc/machine-id"))?.trim(),
    disk: await statfs(stateDirectory).then(
      ({ type, bavail, bsize }) => ({ isMemory: type === 0x0102_1994 || type === 0x8584_58f6, freeOctets: bavail * bsize }),
      () => undefined,
    ),
  };
}

const textOf = (path: string): Promise<string | undefined> => readFile(path, "utf8").catch(() => undefined);
const namesIn = (path: string): Promise<readonly string[]> => readdir(path).catch(() => []);

async function kernelFacts(routeProtocol: number, targets: readonly Ip[]): Promise<{ readonly underlay: Underlay; readonly ours: Tables }> {
  const kernel = await openNetlinkKernel(routeProtocol);
  try {
    return { underlay: await kernel.underlay(targets), ours: await kernel.look([]) };
  } finally {
    kernel.close();
  }
}

async function forwardRules(): Promise<ForwardView> {
  const filter = openNftKernel();
  try {
    return await filter.forwardChains();
  } finally {
    await filter.close();
  }
}

/** /proc/net/route: addresses as eight hex digits in the machine's (little-endian) order. */
async function mainRoutes(): Promise<Machine["routes"]> {
  const four = ((await textOf("/proc/net/route")) ?? "")
    .split("\n")
    .slice(1)
    .flatMap((line) => {
      const [device, destination, , , , , , mask] = line.split("\t");
      if (device === undefined || destination === undefined || mask === undefined) return [];
      const octets = (destination.match(/../g) ?? []).toReversed().map((hex) => parseInt(hex, 16));
      const length = parseInt(mask, 16).toString(2).replaceAll("0", "").length;
      return [{ prefix: `${octets.join(".")}/${length}`, device }];
    });
  const six = ((await textOf("/proc/net/ipv6_route")) ?? "").split("\n").flatMap((line) => {
    const columns = line.trim().split(/\s+/);
    if (columns.length < 10) return [];
    return [{ prefix: `${(columns[0]!.match(/.{4}/g) ?? []).join(":")}/${parseInt(columns[1]!, 16)}`, device: columns[9]! }];
  });
  return [...four, ...six];
}

/** Standard output of a program, undefined if it is not there or fails. */
function said(program: string, args: readonly string[]): Promise<string | undefined> {
  return new Promise((resolve) => execFile(program, args, { timeout: commandMillis }, (error, stdout) => resolve(error ? undefined : stdout)));
}

async function legacyPolicy(): Promise<Machine["legacyForward"]> {
  if (!((await textOf("/proc/net/ip_tables_names")) ?? "").split("\n").includes("filter")) return undefined;
  const policy = /-P FORWARD (ACCEPT|DROP)/.exec((await said("iptables-legacy", ["-S", "FORWARD"])) ?? "")?.[1];
  return policy === "ACCEPT" || policy === "DROP" ? policy : "unknown";
}

interface LinkJson {
  readonly ifname: string;
  readonly ifalias?: string;
  readonly linkinfo?: { readonly info_data?: { readonly id?: number; readonly port?: number } };
}

async function foreignVxlans(): Promise<Machine["vxlans"]> {
  try {
    const links = JSON.parse((await said("ip", ["-d", "-j", "link", "show", "type", "vxlan"])) ?? "[]") as readonly LinkJson[];
    const foreign = links.filter(({ ifname, ifalias }) => ifname !== undefined && ifalias !== "podway");
    return foreign.map(({ ifname, linkinfo }) => ({ name: ifname, vni: linkinfo?.info_data?.id, port: linkinfo?.info_data?.port }));
  } catch {
    return [];
  }
}

async function driversOf(): Promise<ReadonlyMap<string, string>> {
  const drivers = new Map<string, string>();
  for (const device of await namesIn("/sys/class/net")) {
    const link = await readlink(`/sys/class/net/${device}/device/driver`).catch(() => undefined);
    if (link !== undefined) drivers.set(device, link.slice(link.lastIndexOf("/") + 1));
  }
  return drivers;
}

async function kernelModules(): Promise<ReadonlySet<string> | undefined> {
  const folder = `/lib/modules/${release()}`;
  const lists = await Promise.all([textOf(`${folder}/modules.dep`), textOf(`${folder}/modules.builtin`)]);
  const loaded = await namesIn("/sys/module");
  if (lists.every((list) => list === undefined) && !loaded.includes("vxlan")) return undefined;
  const named = lists.flatMap((list) => [...(list ?? "").matchAll(/([\w-]+)\.ko/g)].map((match) => match[1]!.replaceAll("-", "_")));
  return new Set([...loaded, ...named]);
}

async function runs(program: string): Promise<boolean> {
  for (const pid of await namesIn("/proc")) if (/^\d+$/.test(pid) && (await textOf(`/proc/${pid}/comm`))?.trim() === program) return true;
  return false;
}

async function networkManagers(): Promise<Machine["managers"]> {
  const folders = ["/etc", "/run", "/usr/lib"];
  const isTold = async (below: string): Promise<boolean> => {
    for (const folder of folders)
      for (const name of await namesIn(`${folder}/${below}`)) if (/pw-/.test((await textOf(`${folder}/${below}/${name}`)) ?? "")) return true;
    return false;
  };
  const found: { name: string; told: boolean }[] = [];
  if ((await namesIn("/run/NetworkManager")).length > 0) found.push({ name: "NetworkManager", told: await isTold("NetworkManager/conf.d") });
  if ((await namesIn("/run/systemd/netif/links")).length > 0) found.push({ name: "systemd-networkd", told: await isTold("systemd/network") });
  return found;
}
