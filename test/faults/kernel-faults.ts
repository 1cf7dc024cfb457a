/** Somebody takes our rows away or alters them, one by one and all at once; they must be back within a second, others' untouched. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Fault, Measured, Scene } from "./fault.ts";
import { entries, type FdbEntry, type KernelRoute, mostMillis, neighbours, node, repaired, routes } from "./kernel-rows.ts";
import type { FaultLab } from "./lab.ts";
import { device, readOurs } from "./state.ts";

/** From one harm to the next. */
const pauseMillis = 500;

/** One harm: lines for `ip -batch` and `bridge -batch`. */
type Harm = readonly { readonly tool: "ip" | "bridge"; readonly lines: readonly string[] }[];

export const kernelFaults: readonly Fault[] = [
  drift("vxlan-deleted", "VXLAN device deleted", () => [ip(`link del ${device}`)]),
  drift("vxlan-down", "VXLAN device set down", () => [ip(`link set ${device} down`)]),
  drift("vxlan-altered", "VXLAN device's MAC, then its MTU altered", () => [
    ip(`link set ${device} address 02:00:00:00:00:77`),
    ip(`link set ${device} mtu 1400`),
  ]),
  drift("vxlan-address", "VXLAN device's address taken away", () => [ip(`addr flush dev ${device}`)]),
  {
    name: "vxlan-other",
    what: `VXLAN device of ours replaced by one with another VNI while ${node}'s daemon does not look`,
    loss: "until-repair",
    flaps: "none",
    async run({ lab }) {
      const before = await readOurs(lab, node),
        pid = lab.pid(node);
      process.kill(pid, "SIGSTOP");
      await lab
        .batch(node, "ip", [`link del ${device}`, `link add ${device} type vxlan id 99 dstport 4999 local 10.0.0.21`, `link set ${device} alias podway up`])
        .finally(() => process.kill(pid, "SIGCONT"));
      return { repair: { millis: await repaired(lab, before, performance.now()), most: mostMillis } };
    },
  },
  drift("routes-deleted", "each route of ours deleted, one by one", async (lab) =>
    (await routes(lab)).map(({ prefix }) => ip(`route del ${prefix} proto 117`)),
  ),
  drift("routes-altered", "each route of ours turned into a blackhole or sent elsewhere, one by one", async (lab) =>
    (await routes(lab)).map(({ family, prefix, text }) => {
      const elsewhere = /^(blackhole|6)\b/.test(text) ? `via ${family === 4 ? "10.0.0.1" : "fd00::1"} dev eth1` : "";
      return ip(`route replace ${elsewhere === "" ? "blackhole " : ""}${prefix} ${elsewhere} metric 1024 proto 117`);
    }),
  ),
  drift("neighbours-deleted", "each neighbour of ours deleted, one by one", async (lab) =>
    (await neighbours(lab)).map(({ address }) => ip(`neigh del ${address} dev ${device}`)),
  ),
  drift("neighbours-altered", "each neighbour of ours given another MAC", async (lab) =>
    (await neighbours(lab)).map(({ address }) => ip(`neigh replace ${address} lladdr 02:00:00:00:00:77 dev ${device} nud permanent`)),
  ),
  drift("fdb-deleted", "each FDB entry of ours deleted, one by one", async (lab) =>
    (await entries(lab)).map(({ mac, to }) => bridge(`fdb del ${mac} dev ${device} dst ${to} self`)),
  ),
  drift("fdb-altered", "each FDB entry of ours pointed elsewhere", async (lab) =>
    (await entries(lab)).map(({ mac }) => bridge(`fdb replace ${mac} dev ${device} dst 10.0.0.99 self permanent`)),
  ),
  drift("all-deleted", "all routes, neighbours and FDB entries of ours deleted at once", async (lab) => [
    everything(await routes(lab), await neighbours(lab), await entries(lab)),
  ]),
  {
    name: "all-deleted-stopped",
    what: "the same, and the VXLAN device too, while n1's daemon is away: right again once it is back",
    loss: "until-repair",
    async run({ lab }) {
      const before = await readOurs(lab, node),
        harm = everything(await routes(lab), await neighbours(lab), await entries(lab));
      await lab.kill(node);
      for (const { tool, lines } of harm) await lab.batch(node, tool, lines);
      await lab.batch(node, "ip", [`link del ${device}`]);
      const began = performance.now();
      await lab.start(node);
      // The daemon must start, reach the store and hear its peers first: more than a pass of the running one.
      return { repair: { millis: await repaired(lab, before, began), most: 15_000 } };
    },
  },
];

const ip = (line: string): Harm => [{ tool: "ip", lines: [line] }];
const bridge = (line: string): Harm => [{ tool: "bridge", lines: [line] }];

function drift(name: string, what: string, harms: (lab: FaultLab) => readonly Harm[] | Promise<readonly Harm[]>): Fault {
  return { name, what: `${what} on ${node}`, loss: "until-repair", flaps: "none", run: async (scene) => harmEach(scene, await harms(scene.lab)) };
}

/** Each harm alone, repaired before the next; the worst time counts. */
async function harmEach({ lab, say }: Scene, harms: readonly Harm[]): Promise<Measured> {
  if (harms.length === 0) return { wrong: ["there was nothing to harm"] };
  const driftBefore = await driftOf(lab);
  let worst = 0;
  const before = await readOurs(lab, node);
  for (const harm of harms) {
    const began = performance.now();
    for (const { tool, lines } of harm) await lab.batch(node, tool, lines);
    const millis = await repaired(lab, before, began),
      lines = harm.flatMap((batch) => batch.lines);
    say(`${lines.length === 1 ? lines[0]! : `${lines.length} changes`}: right again when looked at ${millis.toFixed(0)} ms after`);
    worst = Math.max(worst, millis);
    await sleep(pauseMillis);
  }
  // What the daemon counted proves that the harms were done: a repair may be quicker than our first look.
  const counted = (await driftOf(lab)) - driftBefore;
  const wrong = counted < harms.length ? [`the daemon counted ${counted} rows of drift after ${harms.length} harms`] : [];
  return { repair: { millis: worst, most: mostMillis }, wrong };
}

const driftOf = async (lab: FaultLab): Promise<number> => (await lab.status(node))?.kernel.drift ?? 0;

function everything(all: readonly KernelRoute[], others: readonly { readonly address: string }[], ends: readonly FdbEntry[]): Harm {
  const lines = [...all.map(({ prefix }) => `route del ${prefix} proto 117`), ...others.map(({ address }) => `neigh del ${address} dev ${device}`)];
  return [
    { tool: "ip", lines },
    { tool: "bridge", lines: ends.map(({ mac, to }) => `fdb del ${mac} dev ${device} dst ${to} self`) },
  ];
}
