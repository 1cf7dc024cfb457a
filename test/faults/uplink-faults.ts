/** What happens beneath our rows: the uplink goes and comes, changes its MTU, and others change their routes by the thousand. */
import { setTimeout as sleep } from "node:timers/promises";
import { awaitFact } from "#lab/command.ts";
import type { Fault, Measured, Scene } from "./fault.ts";
import { mostMillis, node, repaired } from "./kernel-rows.ts";
import { device, readOurs } from "./state.ts";

const downMillis = 500;
const stormRoutes = 20_000;

export const uplinkFaults: readonly Fault[] = [
  {
    name: "uplink-flap",
    what: `${node}'s uplink down for half a second: the kernel throws every route by it away`,
    loss: "until-repair",
    flaps: "none",
    run: flap,
  },
  { name: "uplink-mtu", what: `${node}'s uplink MTU 1400 and back: the VXLAN device follows`, loss: "none", flaps: "none", run: changeMtu },
  { name: "storm", what: `${stormRoutes} routes of somebody else added and removed on ${node}, twice`, loss: "none", flaps: "none", run: storm },
];

/** The kernel keeps IPv6 addresses (and routes) of a link that is down only if told to; other people's IPv4 routes by it are theirs to lay again. */
async function flap({ lab }: Scene): Promise<Measured> {
  await lab.in(node, ["sysctl", "-q", "-w", "net.ipv6.conf.eth1.keep_addr_on_down=1"]);
  const before = await readOurs(lab, node),
    down = performance.now();
  await lab.batch(node, "ip", ["link set eth1 down"]);
  await sleep(downMillis);
  await lab.batch(node, "ip", ["link set eth1 up", "route replace 192.0.2.0/24 via 10.0.0.1 dev eth1 proto static"]);
  const up = performance.now();
  return { repair: { millis: await repaired(lab, before, up), most: mostMillis }, harmMillis: up - down };
}

async function changeMtu({ lab }: Scene): Promise<Measured> {
  const before = await readOurs(lab, node),
    began = performance.now();
  await lab.batch(node, "ip", ["link set eth1 mtu 1400"]);
  const followed = await awaitFact(async () => (/ mtu 1350 /.test(await lab.in(node, ["ip", "link", "show", "dev", device])) ? true : undefined), {
    millis: 5000,
    everyMillis: 20,
  });
  const there = performance.now() - began;
  await lab.batch(node, "ip", ["link set eth1 mtu 1500"]);
  const back = await repaired(lab, before, performance.now());
  return { repair: { millis: Math.max(there, back), most: mostMillis }, wrong: followed ? [] : [`${device} did not follow the uplink's MTU`] };
}

async function storm({ lab }: Scene): Promise<void> {
  const prefixes = Array.from({ length: stormRoutes }, (_, i) => `198.18.${i >> 8}.${i & 0xff}/32`);
  for (let round = 0; round < 2; round++) {
    await lab.batch(
      node,
      "ip",
      prefixes.map((prefix) => `route add blackhole ${prefix} proto 99`),
    );
    await lab.batch(
      node,
      "ip",
      prefixes.map((prefix) => `route del blackhole ${prefix} proto 99`),
    );
  }
}
