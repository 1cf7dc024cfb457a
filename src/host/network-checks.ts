/** Checks of the machine's network: pure, over what was seen. Overlay's pains by number: the list of common faults in the field. */
import { type Check, bad, doubtful, good } from "#base/check.ts";
import { type Prefix, overlaps, parsePrefix } from "#base/prefix.ts";
import type { NodeSettings } from "#base/settings.ts";
import { findForwardDrops, forwardProbes } from "#overlay/forward-drops.ts";
import type { Machine } from "./machine.ts";

/** Octets that VXLAN adds to a packet over IPv4 (RFC 7348 §5). */
const vxlanOverhead = 50;
/** Older kernels compute wrong checksums for tunnels behind NAT. */
const checksumFixed = [5, 8] as const;
/** Drivers that do even with newer ones. */
const doubtfulDrivers: readonly string[] = ["vmxnet3"];

export function checkNetwork(settings: NodeSettings, machine: Machine): readonly Check[] {
  if (!settings.kernel.enabled) return [good("kernel", "this node reflects only: it forwards nothing, so the kernel's tables do not matter.")];
  return [
    ...forwarding(settings, machine),
    ...reversePath(machine),
    ...uplink(settings, machine),
    ...overlapping(settings, machine),
    ...rules(settings, machine),
    ...vxlan(settings, machine),
    ...flannel(machine),
    ...managed(machine),
    ...neighbourTables(settings, machine),
  ];
}

function forwarding({ pools }: NodeSettings, { sysctl }: Machine): Check[] {
  const families = [
    { family: 4, path: "net/ipv4/ip_forward", name: "forwarding.ipv4" },
    { family: 6, path: "net/ipv6/conf/all/forwarding", name: "forwarding.ipv6" },
  ];
  return families
    .filter(({ family }) => pools.some((pool) => pool.family === family))
    .map(({ path, name, family }) =>
      sysctl(path) === "1"
        ? good(name, `IPv${family} packets are forwarded.`)
        : bad(
            name,
            `IPv${family} packets are not forwarded: start podwayd, which sets it, or sysctl -w ${path.replaceAll("/", ".")}=1; something resets it if it comes back.`,
          ),
    );
}

/** The kernel takes the larger of both values. Strict drops packets whose way back is another device: tunnels beside routes, ECMP. */
function reversePath({ sysctl, underlay }: Machine): Check[] {
  const all = Number(sysctl("net/ipv4/conf/all/rp_filter") ?? 0);
  const devices = [...(underlay?.links.values() ?? [])].filter(({ loopback, up }) => up && !loopback).map(({ name }) => name);
  const strict = devices.filter((name) => Math.max(all, Number(sysctl(`net/ipv4/conf/${name}/rp_filter`) ?? 0)) === 1);
  if (strict.length === 0) return [good("rp-filter", "no device drops packets for the way back (rp_filter).")];
  const some = strict.slice(0, 4).join(", ");
  return [
    doubtful("rp-filter", `rp_filter is strict on ${some}, which drops pods' packets that go back another way: sysctl -w net.ipv4.conf.all.rp_filter=2.`),
  ];
}

function uplink({ address, nodes, node, pools }: NodeSettings, { underlay }: Machine): Check[] {
  if (!underlay) return [doubtful("uplink", "the kernel's tables cannot be read: run podway doctor as root.")];
  if (!underlay.addresses.has(address))
    return [bad("uplink", `no device of this machine has ${address}, the address of node ${node}: correct the document, or the machine.`)];
  const others = Object.entries(nodes).filter(([name]) => name !== node);
  const lost = others.filter(([, other]) => !underlay.paths.get(other.address)?.hops.length).map(([name]) => name);
  const checks: Check[] = [];
  if (lost.length > 0) checks.push(bad("uplink", `the kernel has no route to ${lost.slice(0, 4).join(", ")}: add one, or correct their addresses.`));
  else checks.push(good("uplink", `${address} is on ${underlay.addresses.get(address)!}, and every node has a route.`));
  const least = Math.min(65_535, ...others.flatMap(([, other]) => underlay.paths.get(other.address)?.mtu ?? []));
  for (const pool of pools) {
    const most = pool.backend === "vxlan" ? least - vxlanOverhead : least;
    if (pool.mtu !== undefined && pool.mtu > most && others.length > 0)
      checks.push(
        bad("mtu", `pool ${pool.name} has mtu ${pool.mtu}, and ${most} fit through the uplink: large packets vanish; set mtu: ${most} or leave it out.`),
      );
  }
  return checks.some(({ name }) => name === "mtu") ? checks : [...checks, good("mtu", `pods' packets fit the uplink's ${least} octets.`)];
}

/** A pool over an address or a route of this machine takes that traffic away from where it went. */
function overlapping({ pools }: NodeSettings, { underlay, ours, routes }: Machine): Check[] {
  const own = new Set([...(ours?.route.values() ?? [])].map(({ prefix }) => prefix as string));
  const checks: Check[] = [];
  for (const { name, cidr } of pools) {
    const address = [...(underlay?.addresses ?? [])].find(([ip, device]) => !device.startsWith("pw-") && !isFlannels(device) && overlaps(cidr, hostPrefix(ip)));
    if (address) checks.push(bad("overlap", `pool ${name} (${cidr}) covers ${address[0]} of device ${address[1]}: give one of the two another range.`));
    for (const { prefix, device } of routes) {
      const parsed = parsePrefix(prefix, true);
      if (parsed === undefined || parsed.endsWith("/0") || own.has(parsed) || isPods(device) || isFlannels(device) || !overlaps(cidr, parsed)) continue;
      checks.push(bad("overlap", `pool ${name} (${cidr}) overlaps the route ${parsed} over ${device}: give one of the two another range.`));
    }
  }
  return checks.length > 0 ? checks.slice(0, 8) : [good("overlap", "no pool overlaps an address or a route of this machine.")];
}

const hostPrefix = (ip: string): Prefix => `${ip}/${ip.includes(":") ? 128 : 32}` as Prefix;
/** Devices of pods and of ours: what leads there is no foreign route. */
const isPods = (device: string): boolean => device === "lo" || /^(pw|pod|veth|cali)/.test(device);

function rules({ pools }: NodeSettings, { forward, legacyForward }: Machine): Check[] {
  const checks: Check[] = [];
  if (!forward) checks.push(doubtful("rules.nft", "nftables' rules cannot be read: run podway doctor as root, with nftables installed."));
  else {
    const drops = findForwardDrops(forward, forwardProbes(pools, new Map(pools.map(({ name, cidr }) => [name, cidr]))));
    checks.push(...(drops.length === 0 ? [good("rules.nft", "no chain of nftables drops pods' packets.")] : drops.map((text) => bad("rules.nft", `${text}.`))));
  }
  if (legacyForward === "DROP")
    checks.push(
      bad("rules.iptables", "iptables-legacy drops what is forwarded (policy of FORWARD): iptables-legacy -P FORWARD ACCEPT, or let the pools' CIDRs through."),
    );
  if (legacyForward === "unknown")
    checks.push(doubtful("rules.iptables", "iptables-legacy has a filter table that cannot be read: look at iptables-legacy -S FORWARD."));
  return checks;
}

function vxlan({ pools }: NodeSettings, { vxlans, modules, drivers, kernelRelease }: Machine): Check[] {
  const overlays = pools.filter(({ backend }) => backend === "vxlan");
  if (overlays.length === 0) return [];
  const checks: Check[] = [];
  if (modules && !modules.has("vxlan"))
    checks.push(bad("vxlan.module", "this kernel has no VXLAN (CONFIG_VXLAN): install the kernel's extra modules, or use backend bgp."));
  const clash = vxlans.filter(({ vni, port }) => overlays.some((pool) => pool.vni === vni && (port === undefined || pool.port === port)));
  for (const { name, vni } of clash)
    checks.push(bad("vxlan.foreign", `device ${name} is somebody else's and has our vni ${vni}: remove it, or give the pool another vni.`));
  if (clash.length === 0 && vxlans.length > 0)
    checks.push(good("vxlan.foreign", `${vxlans.map(({ name }) => name).join(", ")} of somebody else have other numbers.`));
  const [major = 0, minor = 0] = kernelRelease.split(".").map(Number);
  const isOld = major < checksumFixed[0] || (major === checksumFixed[0] && minor < checksumFixed[1]);
  const doubted = [...drivers].filter(([, driver]) => doubtfulDrivers.includes(driver)).map(([device]) => device);
  const turnOff = `ethtool -K ${overlays.map(({ vni }) => `pw-vx${vni}`)[0]!} tx-checksum-ip-generic off`;
  if (isOld || doubted.length > 0) {
    const why = isOld ? `kernel ${kernelRelease} computes` : `the driver of ${doubted.join(", ")} may compute`;
    checks.push(doubtful("vxlan.checksum", `${why} wrong checksums in tunnels behind NAT, seen as stalls of a minute: ${turnOff}.`));
  } else checks.push(good("vxlan.checksum", `kernel ${kernelRelease} and its drivers compute tunnels' checksums right, as far as is known.`));
  return checks;
}

/** Its routes come before ours (metric 0), and its daemon lays them again. A network is taken over in this order (decisions/flannel-takeover.md). */
function flannel({ hasFlanneld, vxlans }: Machine): Check[] {
  const devices = vxlans.filter(({ name }) => isFlannels(name)).map(({ name }) => name);
  const all = devices.join(", ");
  if (hasFlanneld)
    return [doubtful("flannel", "flanneld runs here and lays its routes before ours: when podwayd is ready on every node, stop and disable it on every node.")];
  if (devices.length === 0) return [];
  const flush = devices.map((name) => `ip route flush dev ${name}`).join("; ");
  return [doubtful("flannel", `${all} is left of flannel: on every node ${flush}; when that is done everywhere, ip link delete each of them.`)];
}
const isFlannels = (device: string): boolean => /^flannel(-v6)?\.\d+$/.test(device);

function managed({ managers }: Machine): Check[] {
  return managers.map(({ name, told }) =>
    told
      ? good("manager", `${name} leaves our devices alone.`)
      : doubtful("manager", `${name} runs and was not told to leave our devices (pw-*) alone: install the files of Podway's deploy folder for it.`),
  );
}

/** Entries of ours are permanent and count all the same when the table is full. */
function neighbourTables({ nodes, pools }: NodeSettings, { sysctl }: Machine): Check[] {
  const wanted = Object.keys(nodes).length * (1 + pools.filter(({ backend }) => backend === "vxlan").length) + 256;
  return (["ipv4", "ipv6"] as const)
    .filter((family) => pools.some((pool) => (pool.family === 4) === (family === "ipv4")))
    .map((family) => {
      const path = `net/${family}/neigh/default/gc_thresh3`,
        limit = Number(sysctl(path) ?? Infinity);
      return limit >= wanted
        ? good("neighbours", `the ${family} neighbour table has room for ${Number.isFinite(limit) ? limit : "all"} entries.`)
        : doubtful(
            "neighbours",
            `the ${family} neighbour table ends at ${limit}, and this cluster may need ${wanted}: sysctl -w ${path.replaceAll("/", ".")}=${wanted * 2}.`,
          );
    });
}
