/** Daemons killed, ended, frozen: each a process that is gone for a while, while the kernel goes on. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Fault, Scene } from "./fault.ts";
import { daemons, nodes } from "./lab.ts";

/** Long enough for the machine's own kernel to have told every peer, short enough to be a restart. */
const restartMillis = 1000;

export const daemonFaults: readonly Fault[] = [
  { name: "none", what: "nothing: the control run", loss: "none", flaps: "none", run: (scene) => scene.outage(40) },
  ...nodes.map((node): Fault => ({
    name: `kill-${node}`,
    what: `SIGKILL of ${node}, started again after 1 s`,
    loss: "none",
    run: (scene) => replaced(scene, node, "kill"),
  })),
  { name: "kill-rr1", what: "SIGKILL of the reflector, started again after 1 s", loss: "none", run: (scene) => replaced(scene, "rr1", "kill") },
  { name: "kill-rr1-20s", what: "SIGKILL of the reflector, away for 20 s", loss: "none", run: (scene) => away(scene, "rr1", 20) },
  { name: "kill-n1-60s", what: "SIGKILL of n1, away for 60 s", loss: "none", run: (scene) => away(scene, "n1", 60) },
  { name: "kill-rr1-60s", what: "SIGKILL of the reflector, away for 60 s", loss: "none", run: (scene) => away(scene, "rr1", 60) },
  {
    name: "kill-all",
    what: "SIGKILL of every daemon at once, started again after 1 s",
    loss: "none",
    async run({ lab }) {
      await Promise.all(daemons.map((name) => lab.kill(name)));
      await sleep(restartMillis);
      await Promise.all(daemons.map((name) => lab.start(name)));
    },
  },
  {
    name: "kill-n1-rr1",
    what: "SIGKILL of n1 and the reflector; the reflector is back after 1 s, n1 after 40 s",
    loss: "none",
    async run({ lab, outage }) {
      await Promise.all([lab.kill("n1"), lab.kill("rr1")]);
      await sleep(restartMillis);
      await lab.start("rr1");
      await outage(40);
      await lab.start("n1");
    },
  },
  {
    // Before its sessions are up: RFC 4724 §4.2 has peers forget who goes away again between OPEN and End-of-RIB.
    name: "kill-again",
    what: "SIGKILL of n1 and of the reflector, and of each again while it starts, three times",
    loss: "none",
    async run({ lab }) {
      for (const name of ["n1", "rr1"]) {
        await lab.kill(name);
        for (const millis of [20, 100, 200]) {
          const start = lab.start(name).catch(() => undefined);
          await sleep(millis);
          await lab.kill(name);
          await start;
        }
        await lab.start(name);
        const left = await lab.settled(30_000);
        if (left !== undefined) return { wrong: [`30 s after ${name} was started for good: ${left}`] };
      }
      return undefined;
    },
  },
  { name: "kill-n1-300s", what: "SIGKILL of n1, away for 300 s", loss: "none", run: (scene) => away(scene, "n1", 300) },
  ...(["n1", "rr1"] as const).map((name): Fault => ({
    name: `term-${name}`,
    what: `SIGTERM of ${name}, started again after 1 s`,
    loss: "none",
    run: (scene) => replaced(scene, name, "terminate"),
  })),
  {
    name: "upgrade",
    what: "every daemon in turn: SIGTERM, started again, next when it is ready",
    loss: "none",
    async run({ lab }) {
      for (const name of daemons) {
        await lab.terminate(name);
        await lab.start(name);
        const left = await lab.settled(30_000);
        if (left !== undefined) return { wrong: [`30 s after ${name} was started again: ${left}`] };
      }
      return undefined;
    },
  },
  { name: "freeze-n1-60s", what: "SIGSTOP of n1 for 60 s", loss: "none", run: (scene) => frozen(scene, "n1", 60) },
  { name: "freeze-n1-110s", what: "SIGSTOP of n1 for 110 s, past the hold time", loss: "none", spares: "server", run: (scene) => frozen(scene, "n1", 110) },
  { name: "freeze-rr1-110s", what: "SIGSTOP of the reflector for 110 s, past the hold time", loss: "none", run: (scene) => frozen(scene, "rr1", 110) },
];

async function replaced({ lab }: Scene, name: string, how: "kill" | "terminate"): Promise<void> {
  await lab[how](name);
  await sleep(restartMillis);
  await lab.start(name);
}

async function away({ lab, outage }: Scene, name: string, seconds: number): Promise<void> {
  await lab.kill(name);
  await outage(seconds);
  await lab.start(name);
}

async function frozen({ lab, outage, say }: Scene, name: string, seconds: number): Promise<void> {
  const pid = lab.pid(name);
  say(`SIGSTOP to ${name}`);
  process.kill(pid, "SIGSTOP");
  try {
    await outage(seconds);
  } finally {
    process.kill(pid, "SIGCONT");
    say(`SIGCONT to ${name}`);
  }
}
