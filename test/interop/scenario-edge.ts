/** Long-lived graceful restart both ways (RFC 9494), and roles that go together and that do not (RFC 9234). */
import { awaitFact } from "#lab/command.ts";
import type { Bench } from "./bench.ts";
import { type Scenario, Theirs } from "./matrix.ts";
import { samplesOf, samplesOfSpeaker } from "./sample-routes.ts";
import { untilSame } from "./waiting.ts";

/** Short, so that the long-lived time begins soon after the end of a session. */
const restartSeconds = 3,
  longLivedSeconds = 600;
/** As podwayd, BIRD and GoBGP, and FRR write LLGR_STALE. */
const isStale = (community: string): boolean => /^(65535:6|llgr[-_]?stale)$/i.test(community);
const gracefulRestart = { restart: `${restartSeconds}s`, stale: "60s", longLived: { staleTime: `${longLivedSeconds}s` } };

export const longLived: Scenario = {
  rows: ["long-lived restart, they are away", "long-lived restart, we are away"],
  scene: (bench) => ({ setup: { restartSeconds, longLivedSeconds, announces: samplesOfSpeaker(bench.network, "sp") }, peer: { gracefulRestart } }),
  prepare: async (bench) => void (await bench.podwayd.established("speaker", 25_000)),
  trials: [theyAreAway, weAreAway],
};

function offered(bench: Bench): void {
  if (bench.tap.open(bench.them)!.capabilities.longLived.length === 0) throw new Theirs("no capability 71 in its OPEN");
}

async function theyAreAway(bench: Bench): Promise<string> {
  offered(bench);
  const first = await bench.client(1),
    all = bench.setup.announces.flatMap(({ prefixes }) => prefixes);
  await first.until("all of its routes", () => all.every((prefix) => first.routes.has(prefix)));
  await bench.speaker.stop("SIGKILL");
  const marked = async (): Promise<number> =>
    (await bench.podwayd.routes("family=ipv4&limit=1000")).filter(({ communities }) => communities.some(isStale)).length;
  await untilSame(
    "after its restart time",
    async () => {
      const out = all.filter((prefix) => first.routes.has(prefix)).map((prefix) => `${prefix} is told to who does not know LLGR_STALE`);
      return (await marked()) === 0 ? [...out, "no route has LLGR_STALE"] : out;
    },
    15_000,
  );
  const { stale: kept } = await bench.podwayd.peer("speaker");
  if (kept !== all.length) throw new Error(`${kept} of ${all.length} routes are kept`);
  await bench.speaker.restart(bench.setup);
  await bench.podwayd.established("speaker", 40_000);
  await untilSame(
    "after its return",
    async () => {
      const out = all.filter((prefix) => !first.routes.has(prefix)).map((prefix) => `${prefix} is missing`);
      return (await marked()) > 0 ? [...out, "some are still marked"] : out;
    },
    30_000,
  );
  return `${all.length} routes kept as LLGR_STALE after its restart time, withdrawn from who does not know it, fresh on its return`;
}

async function weAreAway(bench: Bench): Promise<string> {
  offered(bench);
  await bench.set({ setup: { restartSeconds, longLivedSeconds }, peer: { gracefulRestart } });
  await bench.podwayd.established("speaker", 40_000);
  const samples = samplesOf(bench.network, 1),
    prefixes = samples.flatMap((one) => one.prefixes),
    first = await bench.client(1);
  for (const one of samples) first.announce(one);
  first.endOfRib();
  const rib = async (): ReturnType<Bench["speaker"]["rib"]> => [...(await bench.speaker.rib("ipv4")), ...(await bench.speaker.rib("ipv6"))];
  const missing = async (): Promise<string[]> => {
    const there = new Set((await rib()).map(({ prefix }) => prefix));
    return prefixes.filter((prefix) => !there.has(prefix)).map((prefix) => `${prefix} is missing`);
  };
  await untilSame("before", missing);
  await bench.podwayd.stop("SIGKILL");
  const isMarked = await awaitFact(async () => ((await rib()).some(({ communities }) => communities.some(isStale)) ? true : undefined), { millis: 12_000 });
  const lost = await missing();
  if (lost.length > 0) throw new Error(`after our restart time: ${lost.slice(0, 3).join("; ")}`);
  if (!isMarked) throw new Error("it has not put LLGR_STALE on our routes after our restart time");
  return `${prefixes.length} routes of ours kept after our restart time, with LLGR_STALE`;
}

export const roles: Scenario = {
  rows: ["roles that go together", "roles that do not"],
  scene: (bench) => ({
    external: true,
    setup: { role: "provider", announces: samplesOfSpeaker(bench.network, "sp") },
    peer: { role: "customer", strictRole: true },
  }),
  trials: [rolesAgree, rolesDiffer],
};

async function hasRole(bench: Bench): Promise<void> {
  const open = await awaitFact(async () => bench.tap.open(bench.them), { millis: 25_000 });
  if (!open) throw new Error("no OPEN of its was seen");
  if (open.capabilities.role === undefined) throw new Theirs("no capability 9 in its OPEN");
}

async function rolesAgree(bench: Bench): Promise<string> {
  await hasRole(bench);
  await bench.podwayd.established("speaker", 25_000);
  const first = await bench.client(1),
    all = bench.setup.announces.flatMap(({ prefixes }) => prefixes);
  await first.until("all of its routes", () => all.every((prefix) => first.routes.has(prefix)));
  return "Established with strictRole, routes come";
}

async function rolesDiffer(bench: Bench): Promise<string> {
  await hasRole(bench);
  await bench.set({ external: true, setup: { role: "provider" }, peer: { role: "peer" } });
  const refused = await bench.podwayd.until("speaker", "is refused", ({ reason }) => reason.includes("Role Mismatch"), 25_000);
  return refused.reason;
}
