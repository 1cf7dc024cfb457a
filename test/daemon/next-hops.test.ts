/** Next hops against the real kernel: routes come and go, and the chosen path follows within moments. */
import { afterEach, beforeEach, test } from "vitest";
import { openNetlinkKernel } from "#adapters/netlink-kernel.ts";
import type { Ip } from "#base/ip.ts";
import type { Prefix } from "#base/prefix.ts";
import type { Instant } from "#base/time.ts";
import { Rib } from "#bgp/rib/rib.ts";
import { NextHopTask } from "#daemon/next-hop-task.ts";
import { encodeUpdate } from "#wire/bgp/update.ts";
import { session } from "../bgp/settings-of.ts";
import { sequence, termsOf } from "../bgp/rib-peers.ts";
import { kernelMissing, Namespace } from "../contract/kernel-netns.ts";
import { until } from "./daemon-process.ts";

const now = 1000 as Instant;
const prefix = "192.0.2.0/24" as Prefix;
const near = "10.9.0.2",
  far = "10.8.0.2";

let space: Namespace, rib: Rib, stop: AbortController, done: Promise<void>, leave: () => void;

beforeEach(async () => {
  if (kernelMissing !== undefined) return;
  space = new Namespace("hops");
  space.ip("link add eth0 type veth peer name far0");
  space.ip("link set far0 up");
  space.ip("addr add 10.9.0.1/24 dev eth0");
  space.ip("link set eth0 up");
  leave = space.enter();
  rib = new Rib({
    asn: 65_000,
    routerId: 1,
    clusterId: 1,
    address: "10.9.0.1" as Ip,
    address6: undefined,
    policies: {},
    observes: true,
    resolvesNextHops: true,
  });
  stop = new AbortController();
  const task = new NextHopTask({ rib, telemetry: { note: () => {}, gauge: () => {} }, openKernel: () => openNetlinkKernel(117), changed: () => settle(task) });
  await new Promise<void>((ready) => (done = task.run(stop.signal, ready)));
  for (const [peer, nextHop, localPref] of [
    [1, far, 200],
    [2, near, 100],
  ] as const) {
    rib.up(peer, termsOf(peer, "client"), { ...session, role: "client" }, now);
    const hop = Uint8Array.from(nextHop.split(".").map(Number));
    const bytes = encodeUpdate({ attributes: { origin: 0, asPath: sequence(7), nextHop: hop, localPref }, nlri: [{ prefix }] }, { fourOctetAs: true });
    rib.update(peer, bytes, 19, bytes.length);
  }
  settle(task);
});
afterEach(async () => {
  if (kernelMissing !== undefined) return;
  stop.abort();
  await done;
  leave();
  space.remove();
});

function settle(task: NextHopTask): void {
  while (rib.step(now, 4096)) continue;
  task.decided();
}
function chosen(): number {
  const [v4] = rib.ribs,
    best = v4.bestOf(v4.prefixes.findText(prefix));
  return best < 0 ? 0 : v4.adjRibIn.peer[best]!;
}

test.skipIf(kernelMissing !== undefined)(`the preferred path counts while there is a route to its next hop${kernelMissing ?? ""}`, async () => {
  await until("the near one is chosen: nothing leads to the far one", () => chosen() === 2);
  space.ip("route add 10.8.0.0/24 via 10.9.0.7");
  await until("now something does", () => chosen() === 1);
  space.ip("route replace blackhole 10.8.0.0/24");
  await until("a blackhole is no way", () => chosen() === 2);
  space.ip("route del 10.8.0.0/24");
  space.ip("route add default via 10.9.0.7");
  await until("the default route is one", () => chosen() === 1);
  space.ip("link set eth0 down");
  await until("nothing is reached", () => chosen() === 0);
  space.ip("link set eth0 up");
  await until("the link is there again", () => chosen() === 2);
});
