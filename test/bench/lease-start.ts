/** A thousand nodes start at once on one etcd: when does each hold a CIDR, and is one held twice? */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { startEtcd } from "../contract/store-etcd-server.ts";
import type { Bench } from "./measure.ts";
import type { Row, Scenario } from "./scenarios.ts";

const nodes = 1000,
  processes = 4,
  mostSeconds = 20;

interface Told {
  readonly ready?: true;
  readonly moved?: string;
  readonly cidrs?: readonly string[];
}

export const leaseStart: Scenario = {
  name: "leases-1000",
  about: `${nodes} lease machines, each with its own connection to one etcd, in ${processes} processes, start at once`,
  rows: measure,
};

async function measure({ timeoutSeconds, say }: Bench): Promise<readonly Row[]> {
  const etcd = await startEtcd(undefined, ["--quota-backend-bytes", String(1 << 30)]);
  const children: ChildProcess[] = [];
  try {
    const share = nodes / processes;
    for (let i = 0; i < processes; i++)
      children.push(
        fork(new URL("lease-start-child.ts", import.meta.url), [etcd.url, String(1 + i * share), String(share)], {
          stdio: ["ignore", "ignore", "inherit", "ipc"],
        }),
      );
    await Promise.all(children.map((child) => heard(child, (told) => told.ready, timeoutSeconds)));
    const began = performance.now(),
      moved: string[] = [];
    for (const child of children) child.on("message", (told: Told) => void (told.moved !== undefined && moved.push(told.moved)));
    const waiting = children.map((child) => heard(child, (told) => told.cidrs, timeoutSeconds));
    for (const child of children) child.send("go");
    const cidrs = (await Promise.all(waiting)).flat(),
      seconds = (performance.now() - began) / 1000;
    const claims = (await etcd.ctl("get", "/podway/many/leases/routed/", "--prefix", "--keys-only")).split("\n").filter((line) => /-\d+$/.test(line)).length;
    const different = new Set(cidrs).size,
      isRight = different === nodes && claims === nodes && moved.length === 0;
    say(`${seconds.toFixed(1)} s until all ${nodes} hold a CIDR; ${different} different ones, ${claims} claims in the store, ${moved.length} let go of`);
    return [row("all hold s", seconds, `≤ ${mostSeconds} s`, seconds <= mostSeconds), row("CIDRs held", different, `${nodes}, none twice`, isRight)];
  } finally {
    for (const child of children) child.kill("SIGTERM");
    await Promise.all(children.flatMap((child) => (child.exitCode === null && child.signalCode === null ? [once(child, "exit")] : [])));
    await etcd.close();
  }
}

const row = (what: string, ours: number, bar: string, ok: boolean): Row => ({ scenario: "leases-1000", what, ours, peers: {}, ratio: undefined, bar, ok });

/** The first answer of a child that `pick` takes. */
function heard<T>(child: ChildProcess, pick: (told: Told) => T | undefined, seconds: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`a process of lease machines did not answer within ${seconds} s`)), seconds * 1000);
    child.on("message", (told: Told) => {
      const answer = pick(told);
      if (answer === undefined) return;
      clearTimeout(late);
      resolve(answer);
    });
    child.once("exit", (code) => reject(new Error(`a process of lease machines ended (${String(code)})`)));
  });
}
