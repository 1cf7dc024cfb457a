/**
 * A restart under a full table: two injectors, BIRD and FRR as listeners that keep our routes meanwhile (graceful restart helpers,
 * RFC 4724). The second injector comes back late, and with fewer routes: a listener that lacks a prefix was given End-of-RIB too
 * early, one that still holds a route nobody tells was never given it.
 */
import { type ChildProcess, execFile, execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import type { Bench } from "./measure.ts";
import type { Row, Scenario } from "./scenarios.ts";
import { dialled, missing, portOf, start } from "./speakers.ts";

const run = promisify(execFile);
const limits = { pollMillis: 200, outputOctets: 1 << 20, stopMillis: 10_000 } as const;
/** Seconds the second injector waits before it connects. */
const late = 8;
/** Routes it has no more when it comes back. */
const fewer = 1000;

export const restart: Scenario = {
  name: "restart",
  about: "restart with 1,000,000 routes between BIRD and FRR as graceful restart helpers; an injector comes back late, with 1,000 fewer",
  rows: async (bench) => {
    const absent = missing("bird") ?? missing("frr");
    return absent === undefined ? await restarted(bench) : [{ ...row(absent, ""), ok: undefined }];
  },
};

async function restarted(bench: Bench): Promise<Row[]> {
  const half = bench.quick ? 50_000 : 500_000,
    folder = mkdtempSync(join(tmpdir(), "podway-restart-")),
    others: Neighbour[] = [];
  let ours = await start("ours-restart", folder);
  try {
    others.push(new Bird(folder, "first", 1, statics(0, half), 1), new Bird(folder, "second", 2, statics(half, half), late));
    const [, second] = others as [Bird, Bird];
    const listeners = [new Bird(folder, "bird", 3, "", 1), new Frr(folder)];
    others.push(...listeners);
    const deadline = performance.now() + bench.timeoutSeconds * 1000;
    const all = async (count: number): Promise<void> => {
      while (!(await Promise.all(listeners.map((each) => each.count()))).every((held) => held === count)) {
        if (performance.now() > deadline) throw new Error(`restart: not ${count} routes everywhere in ${bench.timeoutSeconds} s`);
        await delay(limits.pollMillis);
      }
    };
    await all(2 * half);
    const watching = new AbortController(),
      least = Promise.all(listeners.map((each) => leastOf(each, watching.signal)));
    const began = performance.now();
    await ours.stop();
    second.configure(statics(half, half - fewer));
    ours = await start("ours-restart", folder);
    await all(2 * half - fewer);
    const seconds = (performance.now() - began) / 1000;
    watching.abort();
    const held = await least;
    bench.say(`  ours: all right again after ${seconds.toFixed(1)} s, the least held meanwhile ${held.join(" ")}`);
    return [
      ...listeners.map(({ name }, n) =>
        row(`${name}, the fewest of ${2 * half - fewer} routes held`, held[n]!, `≥ ${2 * half - fewer}`, held[n]! >= 2 * half - fewer),
      ),
      row(`routes that nobody tells any more, kept by either`, 0, "none", true), // `all` waits for it
      row("from the stop until every table is right, s", seconds, ""),
    ];
  } catch (cause) {
    return [row(`failed: ${cause instanceof Error ? cause.message : String(cause)}`, "", "", false)];
  } finally {
    await Promise.all([ours.stop(), ...others.map((each) => each.stop())]);
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The fewest routes a listener is seen with until the signal. */
async function leastOf(listener: Neighbour, signal: AbortSignal): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  while (!signal.aborted) {
    least = Math.min(least, await listener.count());
    await delay(limits.pollMillis);
  }
  return least;
}

/** `count` /24 in the syntax of BIRD, from the `from`th on. */
function statics(from: number, count: number): string {
  const routes = Array.from(
    { length: count },
    (_, n) => `route ${(((from + n) >> 16) & 255) + 20}.${((from + n) >> 8) & 255}.${(from + n) & 255}.0/24 blackhole;`,
  );
  return `protocol static { ipv4; ${routes.join("\n")} }`;
}

/** A client of ours, on a loopback address of its own. */
abstract class Neighbour {
  readonly name: string;
  protected readonly folder: string;
  readonly #child: ChildProcess;

  constructor(name: string, folder: string, program: string, argv: readonly string[]) {
    this.name = name;
    this.folder = folder;
    this.#child = spawn(program, argv, { stdio: ["ignore", "ignore", "ignore"] });
  }
  /** Routes held now, stale ones included; 0 while it does not answer. */
  abstract count(): Promise<number>;

  async stop(): Promise<void> {
    const child = this.#child;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), limits.stopMillis);
    await gone;
    clearTimeout(timer);
  }
}

async function said(program: string, argv: readonly string[]): Promise<string> {
  return await run(program, argv, { maxBuffer: limits.outputOctets }).then(
    ({ stdout }) => stdout,
    () => "",
  );
}

class Bird extends Neighbour {
  readonly #head: string;

  constructor(folder: string, name: string, address: number, routes: string, connectSeconds: number) {
    const head = `router id 10.0.0.${address}; protocol device { }
protocol bgp reflector { local 127.1.0.${address} port 1794 as 65000; strict bind; neighbor 127.0.0.1 port ${portOf("ours-restart")} as 65000; multihop; graceful restart on;
  connect delay time ${connectSeconds}; connect retry time 2; error wait time 1, 2; ipv4 { import all; export filter { if source != RTS_STATIC then reject; bgp_next_hop = 10.1.0.${address}; accept; }; gateway recursive; }; }`;
    mkdirSync(join(folder, name));
    writeFileSync(join(folder, name, "bird.conf"), `${head}\n${routes}\n`);
    super(name, join(folder, name), "/usr/sbin/bird", ["-f", "-c", join(folder, name, "bird.conf"), "-s", join(folder, name, "bird.ctl")]);
    this.#head = head;
  }
  configure(routes: string): void {
    writeFileSync(join(this.folder, "bird.conf"), `${this.#head}\n${routes}\n`);
    execFileSync("/usr/sbin/birdc", ["-s", join(this.folder, "bird.ctl"), "configure"], { stdio: "ignore" });
  }
  async count(): Promise<number> {
    const text = await said("/usr/sbin/birdc", ["-s", join(this.folder, "bird.ctl"), "show route protocol reflector count"]);
    return Number(/(\d+) of \d+ routes/.exec(text)?.[1] ?? 0);
  }
}

class Frr extends Neighbour {
  /** While it waits for a restart it does not connect: ours must, so it is no neighbour out of a range. */
  constructor(folder: string) {
    const own = join(folder, "frr"),
      { address, port } = dialled;
    mkdirSync(own);
    const neighbour = `neighbor 127.0.0.1`;
    const config = `router bgp 65000
 bgp router-id 10.0.0.4
 ${neighbour} remote-as 65000
 ${neighbour} port ${portOf("ours-restart")}
 ${neighbour} update-source ${address}
 ${neighbour} timers connect 2
 bgp graceful-restart
`;
    writeFileSync(join(own, "frr.conf"), config);
    execFileSync("chown", ["-R", "frr:frr", own]);
    execFileSync("chmod", ["o+x", folder]);
    const argv = ["-n", "-Z", "-p", `${port}`, "-l", address, "-f", join(own, "frr.conf"), "--vty_socket", own, "-i", join(own, "frr.pid"), "-P", "0"];
    super("frr", own, "/usr/lib/frr/bgpd", argv);
  }
  async count(): Promise<number> {
    const text = await said("/usr/bin/vtysh", ["--vty_socket", this.folder, "-d", "bgpd", "-c", "show bgp ipv4 unicast summary json"]);
    return Number(/"pfxRcd":\s*(\d+)/.exec(text)?.[1] ?? 0);
  }
}

const row = (what: string, ours: number | string, bar = "", ok?: boolean): Row => ({ scenario: "restart", what, ours, peers: {}, ratio: undefined, bar, ok });
