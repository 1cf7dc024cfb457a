/** A container's network as its runtime waits for it: our plugin against the stock `bridge` with `host-local`, in turns on one machine. */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { podPaths } from "#daemon/pod-control.ts";
import { Namespace } from "../contract/kernel-netns.ts";
import { PodNode } from "../doors/pod-node.ts";
import type { Bench } from "./measure.ts";
import type { Row, Scenario } from "./scenarios.ts";

const atOnce = 100,
  oneByOne = 20,
  stock = "/usr/lib/cni";

export const cniAdd: Scenario = {
  name: "cni-add",
  about: `CNI ADD of ${oneByOne} containers in turns with bridge + host-local, the daemon's part alone, and ${atOnce} ADDs at once`,
  rows: measure,
};

type Add = (i: number) => Promise<boolean>;

async function measure({ say }: Bench): Promise<readonly Row[]> {
  if (!existsSync(join(stock, "bridge"))) return [row("stock plugins are missing", "apt-get install containernetworking-plugins", undefined, "")];
  const node = await PodNode.make("bench"),
    pods = Array.from({ length: atOnce }, (_, i) => new Namespace(`bench${i}`));
  try {
    const netns = (i: number): string => `/run/netns/${pods[i]!.name}`;
    const ours: Add = async (i) => (await node.plugin("ADD", { id: `c${i}`, netns: netns(i) })).code === 0;
    const removeOurs: Add = async (i) => (await node.plugin("DEL", { id: `c${i}`, netns: netns(i) })).code === 0;
    const theirs: Add = (i) => callStock("ADD", { id: `s${i}`, netns: netns(i), data: node.daemon.directory });
    const removeTheirs: Add = (i) => callStock("DEL", { id: `s${i}`, netns: netns(i), data: node.daemon.directory });
    const direct: Add = async (i) => (await node.ask("POST", podPaths.attachments, { containerId: `d${i}`, ifname: "eth2", netns: netns(i) })).status === 200;
    const times: Record<"ours" | "theirs" | "direct", number[]> = { ours: [], theirs: [], direct: [] };
    for (let i = 0; i < oneByOne; i++) {
      times.theirs.push(await timed(() => theirs(i)));
      times.ours.push(await timed(() => ours(i)));
      times.direct.push(await timed(() => direct(i)));
    }
    for (let i = 0; i < oneByOne; i++) {
      await Promise.all([removeOurs(i), removeTheirs(i)]);
      await node.ask("DELETE", `${podPaths.attachments}?containerId=d${i}&ifname=eth2`);
    }
    const all = pods.map((_, i) => i);
    const together = async (add: Add): Promise<number> => timed(async () => (await Promise.all(all.map(add))).every(Boolean));
    const theirsAtOnce = await together(theirs),
      oursAtOnce = await together(ours);
    say(`one: ours ${median(times.ours).toFixed(1)} ms, the daemon's part ${median(times.direct).toFixed(1)} ms, stock ${median(times.theirs).toFixed(1)} ms`);
    say(`${atOnce} at once: ours ${oursAtOnce.toFixed(0)} ms, stock ${theirsAtOnce.toFixed(0)} ms`);
    return [
      judged("ADD ms", median(times.ours), median(times.theirs), 3.5),
      judged("the daemon's part ms", median(times.direct), median(times.theirs), 1),
      judged(`${atOnce} at once ms`, oursAtOnce, theirsAtOnce, 2),
    ];
  } finally {
    for (const pod of pods) pod.remove();
    await node.remove();
  }
}

/** Milliseconds; throws if the work failed. */
async function timed(work: () => Promise<boolean>): Promise<number> {
  const began = performance.now();
  if (!(await work())) throw new Error("an ADD failed");
  return performance.now() - began;
}

function callStock(command: string, { id, netns, data }: { readonly id: string; readonly netns: string; readonly data: string }): Promise<boolean> {
  const ipam = {
    type: "host-local",
    dataDir: join(data, "host-local"),
    ranges: [[{ subnet: "10.91.0.0/24" }], [{ subnet: "fd91::/64" }]],
    routes: [{ dst: "0.0.0.0/0" }],
  };
  const config = { cniVersion: "1.0.0", name: "stock", type: "bridge", bridge: "br-stock", isGateway: true, ipam };
  const env = { PATH: process.env["PATH"], CNI_COMMAND: command, CNI_CONTAINERID: id, CNI_NETNS: netns, CNI_IFNAME: "eth1", CNI_PATH: stock };
  return new Promise((resolve) => {
    const child = spawn(join(stock, "bridge"), [], { env, stdio: ["pipe", "ignore", "ignore"] });
    child.on("close", (code) => resolve(code === 0));
    child.stdin.end(JSON.stringify(config));
  });
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!;
const judged = (what: string, ours: number, theirs: number, most: number): Row =>
  row(what, Math.round(ours * 10) / 10, ours / theirs, `≤ ${most} of bridge + host-local (${theirs.toFixed(1)})`, ours / theirs <= most);
function row(what: string, ours: number | string, ratio: number | undefined, bar: string, ok?: boolean): Row {
  return { scenario: "cni-add", what, ours, peers: {}, ratio, bar, ok };
}
