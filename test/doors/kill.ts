/**
 * `kill -9` between any two steps of an ADD: strace ends the daemon at the n-th of its system calls that leave a trace (a write to the
 * journal, its sync, a message to the kernel), for every n until an ADD comes through. Afterwards nobody has an address twice.
 */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { type AddressView, type AttachmentView, podPaths } from "#daemon/pod-control.ts";
import { Namespace } from "../contract/kernel-netns.ts";
import { until } from "../daemon/daemon-process.ts";
import type { DoorRow } from "./docker.ts";
import { PodNode } from "./pod-node.ts";

const calls = "sendto,sendmsg,fsync,fdatasync,pwrite64,setns";
const most = 120;

export async function judgeKills(told: (row: DoorRow) => void): Promise<readonly DoorRow[]> {
  const node = await PodNode.make("kill"),
    pods = ["a", "b"].map((name) => new Namespace(`kill-${name}`));
  const netns = (i: number): string => `/run/netns/${pods[i]!.name}`;
  let wrong = "",
    killed = 0;
  try {
    await node.plugin("ADD", { id: "stays", netns: netns(1) });
    for (let n = 1; wrong === "" && n <= most; n++) {
      const strace = await trace(node.daemon.pid, n);
      const first = await node.plugin("ADD", { id: "c", netns: netns(0) });
      if (first.code === 0) {
        strace.kill("SIGTERM");
        await node.plugin("DEL", { id: "c", netns: netns(0) });
        break;
      }
      await node.daemon.end("SIGKILL");
      killed++;
      await node.start();
      wrong = await judge(node, { netns: netns(0), pod: pods[0]!, step: n });
    }
  } finally {
    for (const pod of pods) pod.remove();
    await node.remove();
  }
  const seen = wrong === "" ? `${killed} places, none left a double or a link; the ADD after it and the DEL went through each time` : wrong;
  const row = { door: "daemon", what: "kill -9 at each journal write, sync and kernel message of an ADD", seen, passed: wrong === "" && killed > 5 };
  told(row);
  return [row];
}

/** What a crash left, then the same ADD again, and its DEL. A sentence, or empty. */
async function judge(node: PodNode, { netns, pod, step }: { readonly netns: string; readonly pod: Namespace; readonly step: number }): Promise<string> {
  const again = await node.plugin("ADD", { id: "c", netns });
  if (again.code !== 0) return `killed at ${step}: the next ADD said ${again.out}`;
  const addresses = (JSON.parse(again.out) as { ips: { address: string }[] }).ips.map(({ address }) => address.split("/")[0]!);
  const there = (await node.ask<readonly AttachmentView[]>("GET", podPaths.attachments)).body;
  const all = there.flatMap((each) => each.addresses.map(({ address }) => address));
  if (new Set(all).size !== all.length || there.length !== 2) return `killed at ${step}: attachments have ${all.join(", ")}`;
  const seen = pod.exec("ip -o addr show dev eth0");
  if (addresses.some((address) => !seen.includes(`${address}/`))) return `killed at ${step}: the pod lacks ${addresses.join(" or ")}`;
  pod.exec("ping -c1 -W2 10.0.0.21");
  if ((await node.plugin("DEL", { id: "c", netns })).code !== 0) return `killed at ${step}: DEL failed`;
  const used = (await node.ask<readonly AddressView[]>("GET", podPaths.addresses)).body.filter(({ containerId }) => containerId === "c");
  const links = pod.json("link show").length;
  return used.length === 0 && links === 1 ? "" : `killed at ${step}: DEL left ${used.length} addresses and ${links} devices`;
}

/** Resolves once strace watches. */
async function trace(pid: number, n: number): Promise<ReturnType<typeof spawn>> {
  const child = spawn("strace", ["-f", "-p", String(pid), "-e", `trace=${calls}`, "-e", `inject=${calls}:signal=SIGKILL:when=${n}`], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  let isAttached = false;
  createInterface({ input: child.stderr }).on("line", (line) => (isAttached ||= line.includes("attached")));
  await until("strace watches", () => isAttached);
  return child;
}
