/** Daemons killed, ended, frozen: each a process that is gone for a while, while the kernel goes on. */
import { setTimeout as sleep } from "node:timers/promises";
import { awaitFact } from "#lab/command.ts";
import { birdSocket } from "#lab/plan.ts";
import type { Fault, Measured, Scene } from "./fault.ts";
import { daemons, type FaultLab, nodes } from "./lab.ts";

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
  {
    name: "crash-loop-n1",
    what: "SIGKILL of n1, and again each time it has told its own routes to the reflector and not End-of-RIB, five times",
    loss: "none",
    run: crashLoop,
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

/** A restarting node ends its deferral after so long, whoever is missing (daemon/bgp-task.ts). */
const deferralMillis = 30_000;
/** CIDRs of n1 that travel by BGP: of the pools routed and routed6. */
const ownRoutes = 2;

/**
 * Each time n1 is killed between its OPEN and its End-of-RIB: that waits for the router, which it cannot reach meanwhile. Peers forget
 * what the session before told (RFC 4724 §4.2), so all that saves n1's routes is that this one told them at once.
 */
async function crashLoop({ lab, say }: Scene): Promise<Measured> {
  const wrong: string[] = [];
  await lab.kill("n1");
  // The router must have seen the end of its session: packets that are lost would be a hold time that expires.
  const left = await awaitFact(async () => ((await torsSessionWithN1(lab)).includes("Established") ? undefined : true), { millis: 10_000, everyMillis: 50 });
  if (!left) wrong.push("the router did not see that n1 has gone");
  await lab.in("n1", ["nft", "-f", "-"], "table inet crashloop { chain out { type filter hook output priority 0; ip daddr 10.0.0.1 tcp dport 179 drop; }; }\n");
  try {
    for (let round = 1; round <= 5; round++) wrong.push(...(await killedOnceTold(lab, (text) => say(`round ${round}: ${text}`))));
  } finally {
    await lab.in("n1", ["nft", "delete", "table", "inet", "crashloop"]);
    await lab.start("n1");
  }
  return { wrong };
}

/** Answers what went wrong. */
async function killedOnceTold(lab: FaultLab, say: (text: string) => void): Promise<string[]> {
  await lab.start("n1");
  const answered = Date.now();
  // What n1 learned from others stays stale: it is told when the deferral is over.
  const told = await awaitFact(
    async () => {
      const view = (await lab.peers("rr1")).find(({ name }) => name === "n1");
      return view?.state === "Established" && view.accepted - view.stale === ownRoutes ? view : undefined;
    },
    { millis: deferralMillis, everyMillis: 10 },
  );
  const took = Date.now() - answered;
  await lab.kill("n1");
  if (!told) return ["n1 did not tell its own routes, or not alone, while its selection was deferred"];
  say(`n1's ${ownRoutes} own routes are told anew, ${took} ms after it answers; ${told.stale} others are stale`);
  return [];
}

const torsSessionWithN1 = (lab: FaultLab): Promise<string> => lab.in("tor", ["birdc", "-s", birdSocket(lab.machine("tor").home), "show", "protocols", "n1"]);

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
