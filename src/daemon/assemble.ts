/** Settings → adapters, machines and tasks: the only place with `new` of everything. The entry adds the doors. */
import { readSecret } from "#adapters/secrets.ts";
import { systemNet } from "#adapters/sockets.ts";
import { systemClock } from "#adapters/system-clock.ts";
import type { SystemTelemetry } from "#adapters/telemetry.ts";
import type { Secret } from "#base/settings.ts";
import { note } from "#base/note.ts";
import { watchDynamic } from "./bfd-dynamic.ts";
import { createBfd } from "./bfd-task.ts";
import { type Bgp, createBgp } from "./bgp-task.ts";
import type { Control } from "./control.ts";
import { createControl } from "./daemon-control.ts";
import { DocumentKeeper } from "./document.ts";
import type { Reading } from "./document-text.ts";
import { followable } from "./followable.ts";
import { createMonitoring, type Monitoring, type MonitoringParts } from "./monitoring-task.ts";
import { DrainKeeper } from "./drain-keeper.ts";
import type { NextHopTask } from "./next-hop-task.ts";
import { createNode, type NodePart } from "./node-part.ts";
import { createOperator } from "./operator.ts";
import { PeerSwitches } from "./peer-switches.ts";
import { openRestartMark } from "./restart-mark.ts";
import { openStateDirectory } from "./state-directory.ts";
import { openStore } from "./store-choice.ts";
import type { Task } from "./tasks.ts";

/** Between the answer to `podway leave` and the end. */
const leaveMillis = 200;

export interface DaemonOptions {
  readonly file: string;
  readonly node: string;
  readonly stateDirectory: string;
  readonly version: string;
  readonly telemetry: SystemTelemetry;
  /** File to record the speaker's inputs in. */
  readonly record?: string | undefined;
  /** The file, read and compiled. */
  readonly first: Reading;
}

export interface Daemon {
  readonly control: Control;
  /** In the order of their start. */
  readonly tasks: readonly Task[];
  /** SIGHUP. */
  reload(): Promise<void>;
}

export async function assemble(options: DaemonOptions): Promise<Daemon> {
  const { telemetry, first, stateDirectory, version } = options,
    clock = systemClock;
  const directory = await openStateDirectory(stateDirectory);
  if (directory.warning !== undefined) telemetry.note(note("warn", "daemon.state-directory", directory.warning));
  const secret = (of: Secret): Promise<Uint8Array> =>
    readSecret(of, { credentialsDirectory: process.env.CREDENTIALS_DIRECTORY, note: (said) => telemetry.note(said) });
  const store = await openStore(first.settings, { stateDirectory, clock, telemetry, secret });
  const made: { node?: NodePart; monitoring?: Monitoring; nextHops?: NextHopTask } = {}; // what is asked before it is there
  const keeper = new DocumentKeeper({ ...options, held: () => made.node?.held() ?? [] }, first);
  if (store) await keeper.open(store);
  // The store is that of the file, whatever the document that rules says of it.
  let running = followable({ ...keeper.settings, store: first.settings.store }, keeper.settings);
  const { settings } = running;
  const bgp = createBgp({
    settings,
    clock,
    telemetry,
    secret,
    net: systemNet,
    record: options.record,
    restart: openRestartMark(stateDirectory, settings.routerId, telemetry),
    decided: () => {
      made.node?.decided();
      made.monitoring?.flush();
      made.nextHops?.decided();
    },
  });
  const monitoring = (made.monitoring = createMonitoring({ settings, version, net: systemNet, clock, telemetry, ...watched(bgp) }));
  const drains = new DrainKeeper({ node: options.node, store, stateDirectory, driver: bgp.driver, telemetry, shutGracefully: (on) => bgp.shutGracefully(on) });
  const switches = new PeerSwitches(stateDirectory, bgp.driver);
  await Promise.all([switches.recall(), drains.recall()]);
  if (settings.resolvesNextHops === true) made.nextHops = await createNextHops(settings.kernel.routeProtocol, bgp, telemetry);
  const bfd = createBfd({ settings, telemetry, clock, failed: (address, text) => bgp.driver.bfdDown(address, text) });
  const watchAnew = watchDynamic(bgp.speaker, bfd);
  const node = (made.node = await createNode({ settings, store, clock, telemetry, bgp, stateDirectory, version }));
  keeper.onChange((next) => {
    running = followable(running.settings, next);
    for (const text of running.pending) telemetry.note(note("warn", "config.restart-needed", text));
    bgp.follow(running.settings);
    bfd.follow(running.settings);
    watchAnew();
    monitoring.follow(running.settings);
    node.follow(running.settings);
  });
  const leave = (): void => {
    bgp.stopMode = "shutdown";
    node.leave();
    // After the answer has left, as if an operator had stopped it.
    setTimeout(() => process.kill(process.pid, "SIGTERM"), leaveMillis);
  };
  const operator = createOperator({ keeper, bgp, store, drains, switches, running: () => running.settings, alive: () => node.alive(), leave });
  const aside = directory.warning === undefined ? [] : [directory.warning];
  const warnings = (): readonly string[] => [...keeper.warnings, ...running.pending, ...bgp.warnings(), ...aside];
  const control = createControl({ version, telemetry, clock, keeper, bgp, bfd, monitoring, node, operator, drains, running: () => running.settings, warnings });
  const tasks = [
    lasting("state directory", () => directory.release()),
    ...(store ? [lasting("store", () => store.close())] : []),
    { name: "document", run: (signal: AbortSignal, ready: () => void) => (ready(), keeper.watch(signal)) },
    { name: "drains", run: (signal: AbortSignal, ready: () => void) => (ready(), drains.run(signal)) },
    ...node.tasks,
    ...(made.nextHops ? [made.nextHops] : []),
    monitoring, // hears how the sessions end
    bfd, // ends after BGP has taken its leave: what follows then is no failure
    bgp,
  ];
  return { control, tasks, reload: () => keeper.reload().then(() => bgp.rekey()) };
}

/** What monitoring needs of the speaker. */
function watched(bgp: Bgp): Pick<MonitoringParts, "speaker" | "wake" | "portsOf"> {
  return { speaker: bgp.speaker, wake: () => bgp.driver.wake(), portsOf: (connection) => bgp.driver.portsOf(connection) };
}

async function createNextHops(routeProtocol: number, bgp: Bgp, telemetry: SystemTelemetry): Promise<NextHopTask> {
  const { NextHopTask: Made } = await import("./next-hop-task.ts"),
    { openNetlinkKernel } = await import("#adapters/netlink-kernel.ts");
  return new Made({ rib: bgp.speaker.rib, telemetry, openKernel: () => openNetlinkKernel(routeProtocol), changed: () => bgp.driver.wake() });
}

/** Something that is there while others run, and ends after them. */
function lasting(name: string, end: () => Promise<void>): Task {
  return {
    name,
    async run(signal, ready) {
      ready();
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
      await end();
    },
  };
}
