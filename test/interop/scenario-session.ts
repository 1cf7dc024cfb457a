/** How sessions come up, are guarded, and end: keys, TTLs, timers, limits, refusals, last words. */
import type { Ip } from "#base/ip.ts";
import { awaitFact, inside, must, run } from "#lab/command.ts";
import { messageType } from "#wire/bgp/constants.ts";
import type { Bench, Scene } from "./bench.ts";
import { type Scenario, Theirs } from "./matrix.ts";
import { samplesOf, samplesOfSpeaker } from "./sample-routes.ts";
import type { Setup } from "./speaker.ts";
import { untilSame } from "./waiting.ts";

/** The tap hears a little later than the daemon: waits until `from` has sent a NOTIFICATION of one of `codes`. */
async function needNotification(bench: Bench, from: Ip, ...codes: readonly string[]): Promise<void> {
  const said = await awaitFact(async () => bench.tap.notifications(from).some(({ code }) => codes.includes(code)) || undefined, {
    millis: 2000,
    everyMillis: 20,
  });
  if (!said)
    throw new Error(
      `${from} sent no NOTIFICATION ${codes.join(" or ")}, but ${
        bench.tap
          .notifications(from)
          .map(({ text }) => text)
          .join("; ") || "none"
      }`,
    );
}

/** A counter of the kernel's in the namespace of a host: absolute, as `nstat -a` says. */
async function counter(bench: Bench, name: string, host = "pw"): Promise<number> {
  const { stdout } = await run(inside(bench.network.namespace(host), ["nstat", "-asz", name]));
  return Number(new RegExp(`^${name}\\s+(\\d+)`, "m").exec(stdout)?.[1] ?? "0");
}

/**
 * Established twice, each side dialling once; then twice not, with a speaker that does not hold to it: the kernel's counter
 * shows that it tried, whoever dials.
 */
function guarded(row: "TCP-MD5" | "GTSM", setup: Partial<Setup>, wrong: Partial<Setup>, counters: readonly string[], external: boolean): Scenario {
  const scene = (theirs: Partial<Setup>, ours: Record<string, unknown> = {}): Scene => ({ setup: theirs, peer: ours, ...(external && { external: true }) });
  return {
    rows: [row],
    scene: () => scene({ ...setup, passive: true }),
    trials: [
      async (bench) => {
        const lacks = bench.speaker.lacks[row === "GTSM" ? "gtsm accepting" : "md5 accepting"];
        const accepts = await bench.podwayd
          .established("speaker")
          .catch((error: unknown) => (lacks === undefined ? Promise.reject(error as Error) : undefined));
        if (!accepts && row === "TCP-MD5" && (await counter(bench, "TcpExtTCPMD5Unexpected", "sp")) === 0)
          throw new Error("it does not answer our signed SYN, and its kernel does not say why");
        await bench.set(scene(setup, { passive: true }));
        await bench.podwayd.established("speaker", 25_000);
        for (const dials of ["we", "they"] as const) {
          const theirs = { ...without(setup), ...wrong, ...(dials === "we" && { passive: true as const }) };
          await refused(bench, scene(theirs, { ...ourKeys(bench, setup), ...(dials === "they" && { passive: true }) }), counters, dials);
        }
        return `${accepts ? "either side may dial" : `when it dials; not when we do: ${lacks}`}; one without it gets no session either way, as the kernel counts`;
      },
    ],
  };
}

/** What the kernels on both sides refuse: of the two, the one that is dialled counts. */
async function refused(bench: Bench, scene: Scene, counters: readonly string[], dials: "we" | "they"): Promise<void> {
  await bench.clear();
  const before = await sum(bench, counters);
  await bench.set(scene);
  const counted = await awaitFact(async () => (await sum(bench, counters)) > before || undefined, { millis: 15_000 });
  const up = await awaitFact(async () => (await bench.podwayd.peer("speaker")).state === "Established" || undefined, { millis: 2000 });
  if (up) throw new Error(`when ${dials} dial, a speaker that does not hold to it has a session`);
  if (!counted) throw new Error(`when ${dials} dial, no kernel refused anything of a speaker that does not hold to it`);
}

async function sum(bench: Bench, names: readonly string[]): Promise<number> {
  const all = await Promise.all(["pw", "sp"].flatMap((host) => names.map((name) => counter(bench, name, host))));
  return all.reduce((a, b) => a + b, 0);
}
const without = ({ md5: _m, gtsm: _g, ...rest }: Partial<Setup>): Partial<Setup> => rest;
const ourKeys = (bench: Bench, { md5, gtsm }: Partial<Setup>): Record<string, unknown> => ({
  ...(md5 !== undefined && { password: { file: bench.secret(md5) } }),
  ...(gtsm && { ttlSecurity: 1 }),
});

export const md5 = guarded("TCP-MD5", { md5: "s3cret" }, { md5: "other" }, ["TcpExtTCPMD5Failure", "TcpExtTCPMD5Unexpected", "TcpExtTCPMD5NotFound"], false);
export const gtsm = guarded("GTSM", { gtsm: true }, {}, ["TcpExtTCPMinTTLDrop"], true);

export const holdZero: Scenario = {
  rows: ["hold time 0"],
  scene: (bench) => ({ setup: { holdSeconds: 0, announces: samplesOfSpeaker(bench.network, "sp") } }),
  trials: [
    async (bench) => {
      const lacks = bench.speaker.lacks["hold 0"];
      const up = await bench.podwayd.established("speaker").catch((error: unknown) => (lacks === undefined ? Promise.reject(error as Error) : undefined));
      const { holdSeconds } = up ?? { holdSeconds: 0 };
      if (holdSeconds !== 0) throw new Error(`both offered 0, and ${holdSeconds} s were agreed on`);
      const offered = bench.tap.open(bench.them)!.holdSeconds;
      const first = await bench.client(1),
        since = performance.now();
      const told = await awaitFact(async () => (first.routes.has("10.200.1.0/24") ? true : undefined), { millis: 5000 });
      if (!told && lacks !== undefined) throw new Theirs(lacks);
      if (!told) throw new Error("none of its routes came");
      // Nothing may be said for longer than the shortest keepalive interval there is.
      await awaitFact(async () => (performance.now() - since > 4000 ? true : undefined), { millis: 6000 });
      const { state, flaps } = await bench.podwayd.peer("speaker");
      const keepalives = bench.tap.heard.filter(({ type, at }) => type === messageType.keepalive && at > since + 1000).length;
      if (state !== "Established" || flaps > 0 || keepalives > 0) throw new Error(`after 4 s the session is ${state}, ${keepalives} keepalives were sent`);
      return offered === 0 ? "both offered 0" : `we offered 0, it ${offered} (it cannot be set to 0), and held to 0`;
    },
  ],
};

export const holdExpiry: Scenario = {
  rows: ["hold timer, they fall silent", "hold timer, we fall silent"],
  scene: (bench) => ({ setup: { holdSeconds: 3, announces: samplesOfSpeaker(bench.network, "sp") } }),
  prepare: async (bench) => void (await bench.podwayd.established("speaker")),
  trials: [
    async (bench) => {
      bench.speaker.freeze();
      const { reason } = await bench.podwayd.until("speaker", "is down", ({ state }) => state !== "Established", 8000).finally(() => bench.speaker.thaw());
      if (!reason.includes("hold timer expired")) throw new Error(`the reason shown is "${reason}"`);
      await needNotification(bench, bench.us, "4/0");
      await bench.podwayd.established("speaker", 30_000);
      return undefined;
    },
    async (bench) => {
      await bench.podwayd.established("speaker", 30_000);
      const before = bench.tap.notifications(bench.them).length;
      bench.podwayd.signal("SIGSTOP");
      const told = await awaitFact(async () => bench.tap.notifications(bench.them).slice(before)[0], { millis: 10_000 }).finally(() =>
        bench.podwayd.signal("SIGCONT"),
      );
      if (told?.code !== "4/0") throw new Error(`it sent ${told?.text ?? "nothing"}`);
      const down = await bench.podwayd.until("speaker", "has gone down", ({ flaps }) => flaps > 0, 10_000);
      await bench.podwayd.established("speaker", 30_000);
      return `shown: ${down.reason.replace(/^last went down: /, "")}`;
    },
  ],
};

export const limits: Scenario = {
  rows: ["prefix limit, ours", "prefix limit, theirs"],
  scene: (bench) => ({ setup: { announces: samplesOfSpeaker(bench.network, "sp") }, peer: { maxPrefixes: 2 } }),
  trials: [
    async (bench) => {
      const { reason } = await bench.podwayd.until("speaker", "is over its limit", ({ flaps }) => flaps > 0);
      await needNotification(bench, bench.us, "6/1", "6/9");
      return `shown: ${reason.replace(/^last went down: /, "")}`;
    },
    async (bench) => {
      const why = bench.speaker.lacks["prefix limit"];
      if (why !== undefined) throw new Theirs(why);
      await bench.set({ setup: { maxPrefixes: 3, announces: samplesOfSpeaker(bench.network, "sp") } });
      await bench.podwayd.established("speaker", 25_000);
      const first = await bench.client(1);
      for (const number of [1, 3])
        for (const announcement of samplesOf(bench.network, number)) first.announce({ ...announcement, nextHop: sameFamily(bench, announcement.nextHop) });
      const { reason } = await bench.podwayd.until("speaker", "has been told that it is over the limit", ({ reason }) =>
        reason.includes("Maximum Number of Prefixes"),
      );
      return `shown: ${reason.replace(/^last went down: /, "")}`;
    },
  ],
};

/** Client 1's own address, as next hop of what it announces under another's number. */
const sameFamily = (bench: Bench, hop: Ip): Ip => bench.network.client(1, hop.includes(":") ? 6 : 4);

/**
 * Two connections at once, in one of two ways: what we say does not reach them while they accept our connection and dial us;
 * or each side in turn is held still while the other's connection waits for it. The tap says whether two connections had an
 * OPEN from both sides.
 */
export const collision: Scenario = {
  rows: ["collision"],
  scene: (bench) => ({ setup: { announces: samplesOfSpeaker(bench.network, "sp") } }),
  prepare: async (bench) => void (await bench.podwayd.established("speaker", 25_000)),
  trials: [
    async (bench) => {
      let seen = 0,
        rounds = 0;
      for (; rounds < 8 && seen < 2; rounds++) {
        bench.tap.forget();
        await (rounds % 2 === 0 ? hush(bench) : holdStill(bench));
        await bench.podwayd.established("speaker", 40_000);
        if (opened(bench).size > 1) seen++;
        await untilSame("after the collision", () => (openConnections(bench) === 1 ? [] : [`${openConnections(bench)} connections are open`]), 5000);
      }
      const { state, flaps } = await bench.podwayd.peer("speaker");
      // The senior may close one that the junior has Established already (RFC 4271 §6.8): at most once each time.
      if (state !== "Established" || flaps > rounds + seen) throw new Error(`the session is ${state} and went down ${flaps} times in ${rounds} rounds`);
      if (seen === 0) throw new Theirs(`in ${rounds} rounds it never went on with a connection of its own beside ours`);
      return `${seen} collisions in ${rounds} rounds, each time one connection was left and stayed`;
    },
  ],
};

/** They end the session; some dial again at once, whatever is said of enabling. */
async function endSession(bench: Bench): Promise<void> {
  const { flaps } = await bench.podwayd.peer("speaker");
  await bench.speaker.shutdown("collide");
  await bench.podwayd.until("speaker", "has gone down", (peer) => peer.flaps > flaps);
}

async function hush(bench: Bench): Promise<void> {
  const namespace = bench.network.namespace("sp"),
    nft = (text: string): Promise<string> => must("nft", inside(namespace, ["nft", text]));
  await nft(
    `add table inet hush; add chain inet hush in { type filter hook input priority 0; }; add rule inet hush in ip saddr ${bench.us} tcp flags & psh == psh drop`,
  );
  try {
    await endSession(bench);
    await bench.speaker.enable();
    await awaitFact(async () => opened(bench).size > 1 || undefined, { millis: 5000, everyMillis: 10 });
  } finally {
    await nft("delete table inet hush");
  }
}

async function holdStill(bench: Bench): Promise<void> {
  const openOf = (address: Ip, count: number, millis: number): Promise<unknown> =>
    awaitFact(async () => new Set(bench.tap.from(address, messageType.open).map(({ connection }) => connection)).size >= count || undefined, {
      millis,
      everyMillis: 10,
    });
  await endSession(bench);
  await bench.speaker.enable();
  bench.speaker.freeze();
  try {
    await openOf(bench.us, 1, 5000);
    bench.podwayd.signal("SIGSTOP");
    bench.speaker.thaw();
    await openOf(bench.them, 2, 3000);
  } finally {
    bench.speaker.thaw();
    bench.podwayd.signal("SIGCONT");
  }
}

/** Connections on which both sides sent an OPEN, by the tap. */
function opened(bench: Bench): Set<string> {
  const theirs = new Set(bench.tap.from(bench.them, messageType.open).map(({ connection }) => connection));
  return new Set(bench.tap.from(bench.us, messageType.open).flatMap(({ connection }) => (theirs.has(connection) ? [connection] : [])));
}
/** Of those, the ones nobody has ended with a NOTIFICATION. */
function openConnections(bench: Bench): number {
  const over = new Set(bench.tap.heard.filter(({ type }) => type === messageType.notification).map(({ connection }) => connection));
  return [...opened(bench)].filter((connection) => !over.has(connection)).length;
}

export const wrongAs: Scenario = {
  rows: ["wrong AS, we refuse", "wrong AS, they refuse"],
  scene: () => ({ peer: { asn: 65009, client: undefined, import: ["all"], export: ["all"] } }),
  trials: [
    async (bench) => {
      const { reason } = await bench.podwayd.until("speaker", "shows the wrong AS", (peer) => peer.reason.includes("the peer is AS 65000"), 20_000);
      await needNotification(bench, bench.us, "2/2");
      return `shown: ${reason}`;
    },
    async (bench) => {
      await bench.set({ setup: { ourAs: 65009 } });
      const { reason } = await bench.podwayd.until("speaker", "shows that it was refused", (peer) => peer.reason.includes("Bad Peer AS"), 20_000);
      return `shown: ${reason}`;
    },
  ],
};

export const lastWords: Scenario = {
  rows: ["shutdown text, theirs", "shutdown text, ours"],
  scene: (bench) => ({ setup: { announces: samplesOfSpeaker(bench.network, "sp") } }),
  prepare: async (bench) => void (await bench.podwayd.established("speaker", 25_000)),
  trials: [
    async (bench) => {
      const text = "maintenance until ten";
      await bench.speaker.shutdown(text);
      const { reason } = await bench.podwayd.until("speaker", "has gone down", ({ flaps }) => flaps > 0);
      if (!reason.includes("Cease/Administrative Shutdown")) throw new Error(`shown: ${reason}`);
      await bench.speaker.enable();
      if (!reason.includes(text)) {
        const said = bench.tap.notifications(bench.them).at(-1)?.text;
        throw said?.includes(text)
          ? new Error(`on the wire: ${said}; shown: ${reason}`)
          : new Theirs(bench.speaker.lacks["shutdown text"] ?? `its NOTIFICATION carries no text: ${said}`);
      }
      return undefined;
    },
    async (bench) => {
      await bench.podwayd.established("speaker", 40_000);
      await bench.podwayd.stop();
      await needNotification(bench, bench.us, "6/2");
      const said = bench.tap.notifications(bench.us).at(-1);
      if (said?.code !== "6/2" || !said.text.includes("podwayd is stopping")) throw new Error(`on the wire: ${said?.text ?? "nothing"}`);
      const shows = await awaitFact(async () => ((await bench.speaker.session()).includes("podwayd is stopping") ? true : undefined), { millis: 3000 });
      return shows ? "its operator is shown our text" : "sent; its session display does not show it";
    },
  ],
};
