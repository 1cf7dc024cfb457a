/** BGP sessions under attack: half-open after a kill, and neighbours and strangers that send rubbish. */
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { awaitFact, must } from "#lab/command.ts";
import type { Fault, Measured, Scene } from "./fault.ts";
import { type daemons, type FaultLab, rude } from "./lab.ts";

export const sessionFaults: readonly Fault[] = [
  { name: "half-open-n1", what: "n1 SIGKILLed, its neighbours never hear of it", loss: "none", run: (scene) => halfOpen(scene, "n1", 1000) },
  {
    name: "half-open-rr1",
    what: "the reflector SIGKILLed, its clients never hear of it",
    loss: "none",
    // The clients find out when the new kernel socket refuses their next KEEPALIVE: a third of the hold time.
    run: (scene) => halfOpen(scene, "rr1", 30_000 * scene.lab.scale + 3000),
  },
  { name: "cut-n1-rr1", what: "n1's packets to the reflector's port dropped past the hold time", loss: "none", run: cutPastHold },
  rubbish("rubbish-peer", "a declared neighbour sends rubbish", rude.name, rude.asn),
  rubbish("rubbish-node", "rubbish from the address of a node whose session is up", "n1", 0),
  rubbish("rubbish-stranger", "a stranger sends rubbish", "etcd", 0),
  { name: "crowd", what: "a stranger dials the reflector 200-fold without end; n3 restarts meanwhile", loss: "none", run: crowd },
];

/** Drops every packet of the BGP connections that stand; connections made later go through. */
async function silence(lab: FaultLab, name: string, only = ""): Promise<void> {
  const text = await lab.in(name, ["ss", "-tnH", "state", "established", `( sport = :179 or dport = :179 )${only}`]);
  const ports = [...text.matchAll(/:(\d+)\s/g)].map((match) => match[1]!).filter((port) => port !== "179");
  if (ports.length === 0) throw new Error(`${name} has no BGP connection to silence`);
  const set = `{ ${[...new Set(ports)].join(", ")} }`;
  const rules = ["out", "in"].map(
    (way) => `chain ${way} {
    type filter hook ${way}put priority 0
    tcp sport 179 tcp dport ${set} drop
    tcp dport 179 tcp sport ${set} drop
  }`,
  );
  await lab.in(name, ["nft", "-f", "-"], `table inet fault {\n${rules.join("\n")}\n}\n`);
}
const unsilence = (lab: FaultLab, name: string): Promise<string> => lab.in(name, ["nft", "delete", "table", "inet", "fault"]);

/** Kills `name` so that no FIN or RST of its old connections gets out, and measures from its answer to its sessions being up. */
async function halfOpen({ lab, say }: Scene, name: (typeof daemons)[number], most: number): Promise<Measured> {
  await silence(lab, name);
  try {
    await lab.kill(name);
    await sleep(1000);
    const [other, peer] = name === "rr1" ? (["n1", "rr1"] as const) : (["rr1", name] as const);
    const isHalfOpen = (await lab.peers(other)).some((one) => one.name === peer && one.state === "Established");
    if (!isHalfOpen) return { wrong: [`${other} has noticed the end of ${peer}: the fault was not done`] };
    // Its clients must be able to find the new reflector out: a reset may come back to them.
    if (name === "rr1") await unsilence(lab, name);
    await lab.start(name);
    const began = performance.now();
    const up = await awaitFact(async () => ((await lab.hasSessions(name)) ? true : undefined), { millis: most + 20_000, everyMillis: 50 });
    const millis = performance.now() - began;
    say(`sessions of ${name} up ${millis.toFixed(0)} ms after it answers`);
    return up ? { repair: { millis, most } } : { wrong: [`sessions of ${name} are not up`] };
  } finally {
    if (name !== "rr1") await unsilence(lab, name);
  }
}

async function cutPastHold({ lab, outage }: Scene): Promise<void> {
  await silence(lab, "n1", " and dst 10.0.0.11");
  try {
    await outage(110);
  } finally {
    await unsilence(lab, "n1");
  }
}

function rubbish(name: string, what: string, from: string, asn: number): Fault {
  return { name, what: `${what}, to the reflector`, loss: "none", flaps: "none", run: (scene) => sendRubbish(scene, from, asn) };
}

const connections = 300;
/** Resident memory may grow by so much in one such row, in KiB. */
const growthLimit = 96 * 1024;

async function sendRubbish({ lab, say }: Scene, from: string, asn: number): Promise<Measured> {
  const seed = 1 + Math.floor(Math.random() * 1e9),
    before = residentKib(lab, "rr1"),
    wrong: string[] = [];
  const program = fileURLToPath(new URL("rubbish.ts", import.meta.url));
  const sending = must(
    `rubbish (seed ${seed})`,
    ["ip", "netns", "exec", lab.namespace(from), process.execPath, program, "10.0.0.11", "179", String(asn), String(seed), String(connections)],
    { millis: 120_000 },
  );
  let slowest = 0,
    done = false;
  const answered = sending.finally(() => (done = true)).catch(() => undefined);
  while (!done) {
    const began = performance.now();
    if ((await lab.status("rr1")) === undefined) wrong.push("the reflector did not answer `status` while it was sent rubbish");
    slowest = Math.max(slowest, performance.now() - began);
    await sleep(100);
  }
  await answered;
  const ends = JSON.parse(await sending) as Record<string, Record<string, number>>;
  const total = (end: string): number => Object.values(ends).reduce((sum, of) => sum + (of[end] ?? 0), 0);
  const grown = residentKib(lab, "rr1") - before;
  say(
    `seed ${seed}: ${total("notified")} notified, ${total("closed")} closed, ${total("left open")} left open, ${total("refused")} refused; slowest status ${slowest.toFixed(0)} ms, memory +${(grown / 1024).toFixed(1)} MiB`,
  );
  if (total("refused") > 0) wrong.push(`${total("refused")} connections were refused by the kernel: nobody listened`);
  if (grown > growthLimit) wrong.push(`the reflector's memory grew by ${(grown / 1024).toFixed(0)} MiB`);
  return { wrong };
}

function residentKib(lab: FaultLab, name: string): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${lab.pid(name)}/status`, "utf8"))![1]);
}

/** What a stranger may not do: take the reflector's attention away from those who are expected. */
async function crowd({ lab }: Scene): Promise<Measured> {
  const program = `
    const { connect } = await import("node:net");
    const dial = () => connect({ host: "10.0.0.11", port: 179 }).on("error", () => undefined).on("close", () => setTimeout(dial, 10));
    for (let i = 0; i < 200; i++) dial();
    setTimeout(() => process.exit(), 6000);
  `;
  const dialling = lab.in("etcd", [process.execPath, "--input-type=module", "-e", program]);
  await lab.terminate("n3");
  await lab.start("n3");
  const left = await lab.settled(5000);
  await dialling;
  return { wrong: left === undefined ? [] : [`5 s after n3 was started again, the crowd still there: ${left}`] };
}
