/** The speaker as a part of the daemon: made from settings, followed live, stopped so that peers go on forwarding. */
import type { NodeSettings, Secret } from "#base/settings.ts";
import { ip4Number } from "#base/ip.ts";
import { note } from "#base/note.ts";
import type { Clock } from "#ports/clock.ts";
import type { Net } from "#ports/net.ts";
import type { Telemetry } from "#ports/telemetry.ts";
import { Speaker } from "#bgp/speaker.ts";
import { PeersDriver } from "./peers.ts";
import type { RestartMark } from "./restart-mark.ts";
import type { Task } from "./tasks.ts";

export interface BgpParts {
  readonly settings: NodeSettings;
  readonly net: Net;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly secret: (secret: Secret) => Promise<Uint8Array>;
  readonly restart: RestartMark;
  /** Something was decided: `speaker.rib.takeChanges()` may have something. */
  readonly decided: () => void;
}

export interface Bgp extends Task {
  readonly speaker: Speaker;
  readonly driver: PeersDriver;
  follow(settings: NodeSettings): void;
  /** How the sessions end when the task stops: `restart` unless told otherwise. */
  stopMode: "restart" | "shutdown";
}

/** The longest a restart of ours waits for others before it selects routes (RFC 4724 §4.1, Selection_Deferral_Timer). */
const deferralMillis = 60_000;

export function createBgp(parts: BgpParts): Bgp {
  const { settings, clock, telemetry } = parts;
  const speaker = new Speaker({
    asn: settings.asn,
    routerId: ip4Number(settings.routerId),
    clusterId: ip4Number(settings.clusterId),
    address: settings.address,
    address6: settings.address6,
    policies: settings.policies,
    observes: settings.kernel.enabled,
    jitter: Math.random,
  });
  const driver = new PeersDriver({ ...parts, speaker });
  gauges(telemetry, speaker, driver);
  const keys = [...settings.peers.map((peer) => ({ peer: peer.address, secret: peer.md5 })), ...settings.ranges.map((range) => ({ peer: range.range, secret: range.md5 }))];
  return {
    name: "bgp", speaker, driver, stopMode: "restart",
    follow: (next) => driver.configure(next.peers, next.ranges),
    async run(signal, ready) {
      // Known before the first neighbour can be spoken to: an OPEN without the restart bit, or an End-of-RIB that comes before our
      // own CIDRs, makes peers sweep what they have kept for us.
      const restarted = await parts.restart.wasRecent();
      driver.configure(settings.peers, settings.ranges);
      if (restarted) {
        telemetry.note(note("info", "bgp.restarting", "this is a restart: routes are selected when the peers that come back have told theirs (RFC 4724)"));
        speaker.beginRestart({ restarting: true, forwarding: [0, 1] }, settings.ranges.length > 0, deferralMillis, clock.now());
      }
      await driver.listen(settings.listen, keys.flatMap(({ peer, secret }) => (secret ? [{ peer, secret }] : [])));
      driver.wake();
      ready();
      await parts.restart.keep(signal);
      await driver.stop(this.stopMode, "podwayd is stopping");
    },
  };
}

function gauges(telemetry: Telemetry, speaker: Speaker, driver: PeersDriver): void {
  const families = ["ipv4", "ipv6"] as const;
  const perFamily = (read: (family: 0 | 1) => number) => () => families.map((family, i) => ({ labels: { family }, value: read(i as 0 | 1) }));
  telemetry.gauge("podway_bgp_peers_established", "Peers whose session is up.", () => speaker.routes().length);
  telemetry.gauge("podway_bgp_routes", "Prefixes with a chosen path.", perFamily((family) => speaker.rib.ribs[family].chosen));
  telemetry.gauge("podway_bgp_paths", "Paths held.", perFamily((family) => speaker.rib.ribs[family].adjRibIn.live));
  telemetry.gauge("podway_bgp_attribute_sets", "Attribute sets held.", () => speaker.rib.attributes.live);
  telemetry.gauge("podway_bgp_longest_turn_seconds", "The longest turn of the speaker so far.", () => driver.longestTurnMillis / 1000);
}
