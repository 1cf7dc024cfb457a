/**
 * BFD against FRR and BIRD: sessions on a link and over a router, IPv4 and IPv6; a silent cut ends BGP within the Detection
 * Time and 0.3 s; it comes back; BFD that somebody switches off takes nothing down; and a speaker busy with routes is as quick.
 *
 *   node test/interop/bfd.ts [--only frr,bird] [--keep]
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { PeerView } from "#daemon/control.ts";
import { awaitFact } from "#lab/command.ts";
import { type BfdSpeaker, bird, frr, startLoad } from "./bfd-speakers.ts";
import { type BfdScene, BfdWorld, closeBfdWorlds, removeBfdRemains } from "./bfd-world.ts";

const multiplier = 3;
/** What a cut may take beyond the Detection Time, the last packet's age included: the notice's way to BGP and the log. */
const graceMillis = 300;
/** The same while routes arrive: BFD is as quick, but BGP acts in the thread that takes them, of a machine whose cores are all in use. */
const busyGraceMillis = 2000;
const scenes: Readonly<Record<string, BfdScene>> = {
  "link, IPv4": { family: 4, routed: false, intervalMillis: 100 },
  "link, IPv6": { family: 6, routed: false, intervalMillis: 100 },
  "over a router, IPv4": { family: 4, routed: true, intervalMillis: 300 },
  "over a router, IPv6": { family: 6, routed: true, intervalMillis: 300 },
};
const loadRoutes = 200_000;
const loadMillis = 15_000;

export interface BfdRow {
  readonly what: string;
  readonly passed: boolean;
  /** Figures, or why not. */
  readonly text: string;
}

/** All scenes against one speaker; of those that `only` names a part of, sessions and cuts alone. Needs root; leaves nothing behind. */
export async function tryBfd(speaker: BfdSpeaker, home: string, only?: readonly string[]): Promise<readonly BfdRow[]> {
  const rows: BfdRow[] = [];
  const row = async (what: string, work: () => Promise<string>): Promise<void> => {
    const done = await work().then(
      (text) => ({ passed: true, text }),
      (cause: unknown) => ({ passed: false, text: cause instanceof Error ? cause.message : String(cause) }),
    );
    rows.push({ what: `${speaker.name}, ${what}`, ...done });
  };
  for (const [name, scene] of Object.entries(scenes)) {
    if (only?.some((part) => name.includes(part)) === false) continue;
    const world = await BfdWorld.open(`${speaker.name.toLowerCase()}${rows.length}`, home, scene);
    try {
      await row(`${name}: up`, () => comesUp(world, speaker));
      await row(`${name}: cut`, () => cutAndMend(world, speaker));
      if (name === "link, IPv4" && only === undefined) {
        await row("switched off here", () => switchedOffHere(world, speaker));
        if (speaker.shutdown) await row("switched off there", () => switchedOffThere(world, speaker));
        await row("busy with routes", () => busy(world));
      }
    } finally {
      await world.close();
    }
  }
  return rows;
}

async function comesUp(world: BfdWorld, speaker: BfdSpeaker): Promise<string> {
  await Promise.all([world.startPodwayd(), speaker.start(world)]);
  const began = performance.now(),
    peer = await world.both(),
    millis = Math.round(performance.now() - began);
  if (!(await awaitFact(async () => (await speaker.isUp(world)) || undefined, { millis: 5000 })))
    throw new Error(`it does not see it up: ${await speaker.bfd(world)}`);
  const agreed = await world.until("the times agreed upon", ({ bfd }) => bfd?.detectionMillis === multiplier * world.scene.intervalMillis);
  return `${millis} ms after both had started; every ${agreed.bfd!.transmitMillis} ms, down after ${agreed.bfd!.detectionMillis} ms${peer.bfd!.multihop ? ", multihop" : ""}`;
}

/** Cuts the path; BGP must be down in time, say why, and both must come back. */
async function cutAndMend(world: BfdWorld, speaker: BfdSpeaker): Promise<string> {
  const took = await cut(world, graceMillis),
    mended = await world.mend(),
    since = (): number => Math.round(performance.now() - mended);
  const back: string[] = [];
  const note = async (what: string, look: (peer: PeerView) => boolean): Promise<void> => {
    await world.until(`${what} up again`, look);
    back.push(`${what} after ${since()} ms`);
  };
  await Promise.all([note("BGP", ({ state }) => state === "Established"), note("BFD", ({ bfd }) => bfd?.state === "Up")]);
  await seesUp(world, speaker);
  return `BGP down ${took} ms after the cut; mended, ${back.join(", ")}`;
}

/** Milliseconds from the cut to the end of BGP, as somebody sees it who looks every 20 ms. */
async function cut(world: BfdWorld, grace: number): Promise<number> {
  const before = await world.both();
  const at = await world.cut(),
    allowed = multiplier * world.scene.intervalMillis + grace;
  const peer = await world.until("BGP is down", ({ state }) => state !== "Established", 10_000);
  const took = Math.round(performance.now() - at);
  if (peer.flaps !== before.flaps + 1) throw new Error(`BGP went down ${peer.flaps - before.flaps} times`);
  if (!peer.reason.startsWith("the BFD session went down: nothing heard from the peer for")) throw new Error(`the reason it gives: ${peer.reason}`);
  if (took > allowed) throw new Error(`BGP went down only ${took} ms after the cut, ${allowed} are allowed`);
  return took;
}

/**
 * The document loses BFD and gets it back. We end nothing for it; a peer that takes our AdminDown for a failure may (RFC 5882
 * §3.2 says it should not).
 */
async function switchedOffHere(world: BfdWorld, speaker: BfdSpeaker): Promise<string> {
  const before = await world.both(),
    program = world.program("podwayd");
  world.document(false);
  program.signal("SIGHUP");
  await world.until("BFD gone", ({ bfd }) => bfd === null);
  if (!(await awaitFact(async () => ((await speaker.isUp(world)) ? undefined : true), { millis: 5000 }))) throw new Error("it has not noticed");
  const { reason, flaps } = await world.until("BGP Established", ({ state }) => state === "Established");
  if (reason.includes("the BFD session went down")) throw new Error(`we ended BGP: ${reason}`);
  world.document(true);
  program.signal("SIGHUP");
  await world.both();
  await seesUp(world, speaker);
  return flaps === before.flaps ? "BGP stayed up on both sides" : `we kept BGP, it did not (${reason})`;
}

/** Its operator switches BFD off and on again: BGP stays up here, and is not ended by us. */
async function switchedOffThere(world: BfdWorld, speaker: BfdSpeaker): Promise<string> {
  const before = await world.both();
  await speaker.shutdown!(world, true);
  const off = await world.until("the peer's AdminDown", ({ bfd }) => bfd?.state === "Down");
  if (off.bfd!.reason !== "the peer has shut BFD down administratively") throw new Error(off.bfd!.reason);
  await speaker.shutdown!(world, false);
  const after = await world.both();
  if (after.flaps !== before.flaps) throw new Error(`BGP went down: ${after.reason}`);
  return "BGP stayed up on both sides";
}

async function seesUp(world: BfdWorld, speaker: BfdSpeaker): Promise<void> {
  const seen = await awaitFact(async () => (await speaker.isUp(world)) || undefined, { millis: 5000 });
  if (!seen) throw new Error(`it does not see the session up: ${await speaker.bfd(world)}`);
}

/** While hundreds of thousands of routes come and go: no packet of ours late, no false alarm, and a cut is found as quickly. */
async function busy(world: BfdWorld): Promise<string> {
  const load = await startLoad(world, loadRoutes),
    before = await world.both(),
    packets = await world.listen();
  const end = performance.now() + loadMillis;
  let changes = 0;
  for (let on = true; performance.now() < end || !on; on = !on) {
    await load(on);
    const all = await awaitFact(async () => ((await accepted(world)) === (on ? loadRoutes : 0) ? true : undefined), { millis: 20_000, everyMillis: 50 });
    if (!all) throw new Error(`the routes do not ${on ? "come" : "go"}: ${await accepted(world)}`);
    changes += loadRoutes;
  }
  const calm = await world.both(),
    gaps = await packets.gaps(),
    longest = Math.round(gaps.at(-1)!);
  const figures = `${changes} route changes in ${loadMillis / 1000} s; our packets ${Math.round(gaps[gaps.length >> 1]!)} ms apart, ${longest} at most`;
  if (longest > 2 * world.scene.intervalMillis) throw new Error(`late packets: ${figures}`);
  if (calm.reason.includes("nothing heard from the peer")) throw new Error(`a false alarm: ${calm.reason} (${figures})`);
  // with packets that regular, whoever misses them was itself kept from its work by the others on this machine
  const theirs = calm.flaps === before.flaps ? "no alarm" : `an alarm of the peer alone (${calm.reason})`;
  await load(true);
  const took = await cut(world, busyGraceMillis);
  await world.mend();
  await world.both();
  return `${figures}; ${theirs}; then BGP down ${took} ms after the cut, with ${loadRoutes} routes on their way`;
}

const accepted = async (world: BfdWorld): Promise<number | undefined> => (await world.peer("ld"))?.accepted;

async function main(): Promise<number> {
  const { values: given } = parseArgs({ options: { only: { type: "string" }, keep: { type: "boolean", default: false } } });
  const home = mkdtempSync(join(tmpdir(), "podway-bfd-")),
    wanted = given.only?.split(",");
  await removeBfdRemains();
  let failed = 0;
  try {
    for (const speaker of [frr, bird]) {
      if (wanted && !wanted.includes(speaker.name.toLowerCase())) continue;
      for (const { what, passed, text } of await tryBfd(speaker, home)) {
        process.stdout.write(`${passed ? "yes" : "NO "}  ${what}: ${text}\n`);
        if (!passed) failed++;
      }
    }
  } finally {
    await closeBfdWorlds();
    if (given.keep) process.stderr.write(`files are in ${home}\n`);
    else rmSync(home, { recursive: true, force: true });
  }
  return failed === 0 ? 0 : 1;
}

if (import.meta.main) {
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => void closeBfdWorlds().finally(() => process.exit(130)));
  process.exit(await main());
}
