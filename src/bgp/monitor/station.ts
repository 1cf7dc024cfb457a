/**
 * One monitoring station (RFC 7854): what it is sent, as a machine. Sessions and UPDATEs go in as they happen, octets are pulled
 * as its connection has room. Two views, each if asked for: what peers send before import policy (§5), and the Loc-RIB (RFC 9069).
 *
 * Holds: a station hears of a peer between its Peer Up and its Peer Down only · UPDATEs of a peer that came before the station
 * are given from the Adj-RIB-In, or asked for again (RFC 2918) where import policy may have changed or refused them · what waits
 * for a slow station is bounded: over the limit it `isLagging`, and its owner lets it go and begins anew.
 */
import type { Instant } from "#base/time.ts";
import {
  type BmpPeer,
  type BmpPeerDown,
  bmpDownReason,
  bmpStatistic,
  encodeBmpErroredPdu,
  encodeBmpInitiation,
  encodeBmpPeerDown,
  encodeBmpPeerUp,
  encodeBmpRouteMonitoring,
  encodeBmpStatistics,
  encodeBmpTermination,
  type EpochMicros,
} from "#wire/bmp.ts";
import { noCapabilities } from "#wire/bgp/capability.ts";
import { encodeNotification } from "#wire/bgp/message.ts";
import { encodeOpen } from "#wire/bgp/open.ts";
import type { NeighbourInfo } from "../neighbours.ts";
import type { Speaker } from "../speaker.ts";
import type { NotificationFault, SessionEnd } from "../terms.ts";
import { AdjRibInDump } from "./adj-rib-in-dump.ts";

/** Octets that may wait for a station beside what it can be told later from the tables. */
export const stationLimitOctets = 64 * 1024 * 1024;

export interface StationSettings {
  /** A peer id that no peer has: the station's name in the RIB. */
  readonly reader: number;
  readonly prePolicy: boolean;
  readonly locRib: boolean;
  readonly sysName: string;
  readonly sysDescr: string;
  readonly asn: number;
  readonly routerId: number;
  /** TCP ports of a session's connection; 0 where unknown. */
  readonly portsOf: (connection: number) => { readonly local: number; readonly remote: number };
}

export interface Received {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
}

export class BmpStation {
  readonly #settings: StationSettings;
  readonly #speaker: Speaker;
  readonly #peers = new Map<number, BmpPeer>();
  readonly #self: BmpPeer;
  #waiting: Uint8Array[] = [];
  #waitingOctets = 0;
  #dump: AdjRibInDump | undefined;
  messages = 0;

  constructor(settings: StationSettings, speaker: Speaker) {
    this.#settings = settings;
    this.#speaker = speaker;
    this.#self = { address: undefined, asn: settings.asn, bgpId: settings.routerId, twoOctetAs: false };
  }

  get isLagging(): boolean {
    return this.#waitingOctets > stationLimitOctets;
  }

  /** The connection is up. */
  begin(at: EpochMicros): void {
    const { sysName, sysDescr, reader, locRib, prePolicy } = this.#settings;
    this.#say(encodeBmpInitiation(sysName, sysDescr));
    if (locRib) {
      this.#say(encodeBmpPeerUp(this.#self, this.#ownTable(), at));
      this.#speaker.rib.groups.watch(reader);
    }
    if (!prePolicy) return;
    const held: number[] = [];
    for (const { peer } of this.#speaker.routes()) {
      const info = this.up(peer, at);
      if (!info) continue;
      const mayDiffer = info.settings.import.length > 0;
      if (mayDiffer && info.terms?.routeRefresh === true) this.#speaker.askAgain(peer);
      else held.push(peer);
    }
    this.#dump = new AdjRibInDump(this.#speaker.rib, held);
  }

  /** A session came up. */
  up(peer: number, at: EpochMicros): NeighbourInfo | undefined {
    const { neighbours } = this.#speaker,
      info = neighbours.byId(peer),
      opens = neighbours.opensOf(peer);
    if (!this.#settings.prePolicy || !info?.terms || !opens) return undefined;
    const { terms, address } = info,
      { local, remote } = this.#settings.portsOf(neighbours.connectionOf(peer)!);
    const said: BmpPeer = { address, asn: terms.remoteAs, bgpId: terms.remoteId, twoOctetAs: !terms.fourOctetAs };
    this.#peers.set(peer, said);
    const session = { local: terms.local, localPort: local, remotePort: remote, sentOpen: opens.sent, receivedOpen: opens.received };
    this.#say(encodeBmpPeerUp(said, session, at));
    return info;
  }

  down(peer: number, end: SessionEnd, at: EpochMicros): void {
    const said = this.#peers.get(peer);
    if (!said) return;
    this.#peers.delete(peer);
    this.#dump?.forget(peer);
    this.#say(encodeBmpPeerDown(said, downOf(end), at));
  }

  /** An UPDATE came; `fault`: it resets the session. */
  received(peer: number, { bytes, start, end }: Received, fault: NotificationFault | undefined, at: EpochMicros): void {
    const said = this.#peers.get(peer);
    if (!said) return;
    const message = bytes.subarray(start, end);
    this.#say(fault ? encodeBmpErroredPdu(said, message, at) : encodeBmpRouteMonitoring(said, message, at));
  }

  /** Counts of every peer and of the Loc-RIB (RFC 7854 §4.8). */
  statistics(at: EpochMicros): void {
    const { rib } = this.#speaker,
      afis = [1, 2] as const;
    for (const [peer, said] of this.#peers)
      this.#say(
        encodeBmpStatistics(
          said,
          [
            { type: bmpStatistic.rejected, value: rib.refusedOf(peer) },
            ...afis.map((afi) => ({ type: bmpStatistic.adjRibIn, afi, value: rib.peers.paths[peer * 2 + afi - 1]! }) as const),
          ],
          at,
        ),
      );
    if (!this.#settings.locRib) return;
    this.#say(
      encodeBmpStatistics(
        this.#self,
        afis.map((afi) => ({ type: bmpStatistic.locRib, afi, value: rib.ribs[afi - 1]!.chosen })),
        at,
      ),
    );
  }

  /** Gives up to about `room` octets of whole BMP messages; 0: there is nothing to say now. */
  pull(room: number, now: { readonly at: EpochMicros; readonly instant: Instant }, give: (bytes: Uint8Array) => void): number {
    let given = 0;
    const out = (bytes: Uint8Array): void => {
      given += bytes.length;
      this.messages++;
      give(bytes);
    };
    this.#drain(room, out);
    if (given < room && this.#settings.locRib)
      this.#speaker.rib.pull(this.#settings.reader, room - given, now.instant, (bytes) =>
        eachMessage(bytes, (message) => out(encodeBmpRouteMonitoring(this.#self, message, now.at))),
      );
    while (given < room && this.#dump && !this.#dump.isDone)
      this.#dump.step((peer, update) => out(encodeBmpRouteMonitoring({ ...this.#peers.get(peer)!, twoOctetAs: false }, update, now.at)));
    return given;
  }

  /** The last message, if the end is ours. */
  terminate(text: string): Uint8Array {
    return encodeBmpTermination(text);
  }
  close(): void {
    this.#speaker.rib.groups.leave(this.#settings.reader);
    this.#peers.clear();
    this.#waiting = [];
  }

  #drain(room: number, out: (bytes: Uint8Array) => void): void {
    let count = 0;
    for (let given = 0; count < this.#waiting.length && given < room; count++) {
      const bytes = this.#waiting[count]!;
      given += bytes.length;
      this.#waitingOctets -= bytes.length;
      out(bytes);
    }
    if (count > 0) this.#waiting.splice(0, count);
  }

  #say(bytes: Uint8Array): void {
    this.#waiting.push(bytes);
    this.#waitingOctets += bytes.length;
  }

  /** RFC 9069 §4.4: both OPENs are ours, and say what the table's UPDATEs need to be read. */
  #ownTable(): Parameters<typeof encodeBmpPeerUp>[1] {
    const { asn, routerId } = this.#settings;
    const families = [
      { afi: 1, safi: 1 },
      { afi: 2, safi: 1 },
    ];
    const open = encodeOpen({ asn, holdSeconds: 0, bgpIdentifier: routerId, capabilities: { ...noCapabilities, families, fourOctetAs: asn } });
    return { local: undefined, localPort: 0, remotePort: 0, sentOpen: open, receivedOpen: open };
  }
}

function downOf({ notification }: SessionEnd): BmpPeerDown {
  if (!notification) return { reason: bmpDownReason.remote };
  const { localNotification, remoteNotification } = bmpDownReason;
  return { reason: notification.direction === "sent" ? localNotification : remoteNotification, notification: encodeNotification(notification) };
}

/** BGP messages one after another, whole. */
function eachMessage(bytes: Uint8Array, take: (message: Uint8Array) => void): void {
  for (let at = 0; at < bytes.length;) {
    const length = (bytes[at + 16]! << 8) | bytes[at + 17]!;
    take(bytes.subarray(at, at + length));
    at += length;
  }
}
