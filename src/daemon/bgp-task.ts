/** The speaker as a part of the daemon: made from settings, followed live, stopped so that peers go on forwarding. */
import type { NodeSettings, Secret, SessionSettings } from "#base/settings.ts";
import { type Ip, ip4Number } from "#base/ip.ts";
import { note } from "#base/note.ts";
import { contains } from "#base/prefix.ts";
import { type Millis, millis } from "#base/time.ts";
import type { Clock } from "#ports/clock.ts";
import type { Net } from "#ports/net.ts";
import type { Telemetry } from "#ports/telemetry.ts";
import { Speaker } from "#bgp/speaker.ts";
import { HandoverDriver } from "./handover-driver.ts";
import { Listeners } from "./listeners.ts";
import { watchLoopDelay } from "./loop-delay.ts";
import { countErrors } from "./peer-errors.ts";
import { PeersDriver } from "./peers.ts";
import { Recorder } from "./recorder.ts";
import type { LastRun, RestartMark } from "./restart-mark.ts";
import type { Task } from "./tasks.ts";

export interface BgpParts {
  readonly settings: NodeSettings;
  readonly net: Net;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly secret: (secret: Secret) => Promise<Uint8Array>;
  readonly restart: RestartMark;
  /** File that everything the speaker is told is written to (recorder.ts). */
  readonly record?: string | undefined;
  /** Something was decided: `speaker.rib.takeChanges()` may have something. */
  readonly decided: () => void;
}

export interface Bgp extends Task {
  readonly speaker: Speaker;
  readonly driver: PeersDriver;
  readonly listeners: Listeners;
  /** Neighbours, ranges, policies and listeners as they are from now on; who we are stays as it was made (followable.ts). */
  follow(settings: NodeSettings): void;
  /** Secrets may be others in their files: listeners and connections take on keys that were changed, without a flap. */
  rekey(): Promise<void>;
  /** Every session is told and taken as one that will be shut down soon (RFC 8326), or no longer. */
  shutGracefully(on: boolean): void;
  /** How the sessions end when the task stops: `restart` unless told otherwise. */
  stopMode: "restart" | "shutdown";
  /** What a person should know of sessions that are not what the document says. */
  warnings(): readonly string[];
}

/** The longest a restart of ours waits for others before it selects routes (RFC 4724 §4.1, Selection_Deferral_Timer). */
const deferral = { reflectorMillis: 60_000, nodeMillis: 30_000 } as const;

export function createBgp(parts: BgpParts): Bgp {
  const { telemetry } = parts;
  let { settings } = parts,
    isRunning = false,
    isShutting = false;
  const recorder = parts.record === undefined ? undefined : openRecorder(parts.record, telemetry);
  const identity = identityOf(settings);
  const speaker = new Speaker({ ...identity, jitter: recorder?.jitter(Math.random) ?? Math.random });
  recorder?.follow(speaker, identity);
  const decided = (): void => {
    parts.decided();
    handover.turned();
  };
  const driver = new PeersDriver({ ...parts, speaker, decided });
  const listeners = new Listeners({ ...parts, accepted: (connection) => driver.accepted(connection), rekeyed: (changedKey) => driver.rekey(changedKey) });
  gauges(telemetry, speaker, driver);
  if (settings.roles.includes("reflector")) watchLoopDelay(telemetry); // it costs a node more than its BGP does
  const configure = (): void => {
    speaker.usePolicies(settings.policies);
    const { ranges } = settings,
      { peers } = handover;
    if (isShutting) driver.configure(peers.map(shutting), ranges.map(shutting));
    else driver.configure(peers, ranges);
  };
  const listen = (): Promise<void> => listeners.follow({ ...settings, listen: handover.listen, peers: handover.peers });
  const handover = new HandoverDriver({
    ...parts,
    speaker,
    changed: () => {
      void listen();
      configure();
    },
  });
  return {
    name: "bgp",
    speaker,
    driver,
    listeners,
    stopMode: "restart",
    warnings: () => handover.warnings(),
    rekey: () => (isRunning ? listen() : Promise.resolve()),
    shutGracefully(on) {
      isShutting = on;
      if (isRunning) configure();
    },
    follow(next) {
      settings = next;
      if (!isRunning) return;
      handover.follow(settings);
      // Keys first: a neighbour that has one must not find a listener without.
      void listen();
      configure();
    },
    async run(signal, ready) {
      // Known before the first neighbour can be spoken to: an OPEN without the restart bit, or an End-of-RIB that comes before our
      // own CIDRs, makes peers sweep what they have kept for us.
      const last = await parts.restart.begin(keptMillis(settings));
      isRunning = true;
      handover.follow(settings);
      configure();
      beginRestart(speaker, settings, last, parts);
      await listen();
      driver.wake();
      ready();
      await parts.restart.keep(signal, () => speaker.sessions());
      handover.close();
      listeners.close();
      await driver.stop(this.stopMode, "podwayd is stopping");
      recorder?.end();
    },
  };
}

/** Who the speaker is, for as long as it runs (followable.ts). */
function identityOf(settings: NodeSettings) {
  return {
    asn: settings.asn,
    routerId: ip4Number(settings.routerId),
    clusterId: ip4Number(settings.clusterId),
    address: settings.address,
    address6: settings.address6,
    policies: settings.policies,
    observes: settings.kernel.enabled,
    resolvesNextHops: settings.resolvesNextHops === true,
  };
}

/** The same neighbour, told that our routes are about to go (RFC 8326). */
const shutting = <T extends SessionSettings>(of: T): T => ({ ...of, gracefulShutdown: true });

/** Tells the peers of a restart of ours. F says what forwards still: everything, unless the machine was started anew under our routes. */
function beginRestart(speaker: Speaker, settings: NodeSettings, last: LastRun | undefined, { clock, telemetry }: BgpParts): void {
  if (last === undefined) return;
  telemetry.note(note("info", "bgp.restarting", "this is a restart: routes are selected when the peers that come back have told theirs (RFC 4724)"));
  const forwards = last.kind === "restart" || !settings.kernel.enabled;
  // The mark names whose sessions were up: nobody else out of a range is waited for.
  speaker.beginRestart({ restarting: true, forwarding: forwards ? [0, 1] : [] }, false, deferralMillis(settings), clock.now());
  const mayCome = (address: Ip): boolean =>
    settings.peers.some((peer) => peer.address === address) || settings.ranges.some(({ range }) => contains(range, address));
  speaker.rib.deferral.awaitBack(last.sessions.filter(mayCome));
}

/** The longest any peer keeps our routes while we are away, by what our OPENs told it (RFC 4724 §3, RFC 9494 §3). */
function keptMillis({ peers, ranges }: NodeSettings): Millis {
  const kept = [...peers, ...ranges].map(({ gracefulRestart: of }) => (of ? of.restartSeconds + (of.longLivedSeconds ?? 0) : 0));
  return millis(Math.max(0, ...kept) * 1000);
}

/** Less than the peers keep our old routes for, and less for a node than for its reflector: that one must hear the node first. */
function deferralMillis({ roles, peers, ranges }: NodeSettings): Millis {
  const most = roles.includes("reflector") ? deferral.reflectorMillis : deferral.nodeMillis;
  const stale = [...peers, ...ranges].flatMap(({ gracefulRestart }) => gracefulRestart?.staleSeconds ?? []);
  return millis(Math.min(most, ...stale.map((seconds) => seconds * 500)));
}

/** Rejects nothing: a file that cannot be written is a reason to say so, and none not to run. */
function openRecorder(path: string, telemetry: Telemetry): Recorder | undefined {
  try {
    return new Recorder(path, () => telemetry.note(note("warn", "bgp.record-full", `${path} takes no more: the recording ends here`)));
  } catch (cause) {
    telemetry.note(note("error", "bgp.no-record", `nothing is recorded: ${path} cannot be written (${(cause as Error).message})`));
    return undefined;
  }
}

function gauges(telemetry: Telemetry, speaker: Speaker, driver: PeersDriver): void {
  const families = ["ipv4", "ipv6"] as const;
  const perFamily = (read: (family: 0 | 1) => number) => () => families.map((family, i) => ({ labels: { family }, value: read(i as 0 | 1) }));
  telemetry.gauge("podway_bgp_peers_established", "Peers whose session is up.", () => speaker.routes().length);
  telemetry.gauge(
    "podway_bgp_routes",
    "Prefixes with a chosen path.",
    perFamily((family) => speaker.rib.ribs[family].chosen),
  );
  telemetry.gauge(
    "podway_bgp_paths",
    "Paths held.",
    perFamily((family) => speaker.rib.ribs[family].adjRibIn.live),
  );
  telemetry.gauge("podway_bgp_malformed_updates_total", "Malformed UPDATEs by peer and treatment (RFC 7606); configured: as an operator wishes.", () =>
    countErrors(speaker),
  );
  telemetry.gauge("podway_bgp_paths_refused", "Paths beyond those a peer may announce for one prefix (RFC 7911), by peer; of its session.", () =>
    speaker.neighbours.info().flatMap(({ id, name }) => {
      const value = speaker.rib.overflowsOf(id);
      return value > 0 ? [{ labels: { peer: name }, value }] : [];
    }),
  );
  telemetry.gauge("podway_bgp_too_long_total", "Routes not told for want of room in a message (RFC 8654).", () => speaker.rib.tooLong);
  telemetry.gauge("podway_bgp_attribute_sets", "Attribute sets held.", () => speaker.rib.attributes.live);
  telemetry.gauge("podway_bgp_longest_turn_seconds", "The longest turn of the speaker so far.", () => driver.longestTurnMillis / 1000);
  telemetry.gauge("podway_bgp_longest_turn_cpu_seconds", "The most CPU time one turn of the speaker took so far.", () => driver.longestTurnCpuMillis / 1000);
}
