/** A speaker without sockets or clock: neighbours are connected by hand and say what a test wants. */
import { ip4Number, type Ip } from "#base/ip.ts";
import type { PolicySettings } from "#base/policy-settings.ts";
import type { PeerSettings } from "#base/settings.ts";
import type { Instant } from "#base/time.ts";
import { Speaker } from "#bgp/speaker.ts";
import { type Capabilities, noCapabilities } from "#wire/bgp/capability.ts";
import { encodeKeepalive } from "#wire/bgp/message.ts";
import { encodeOpen } from "#wire/bgp/open.ts";
import { endOfRib } from "./messages.ts";

const local = "10.0.0.1" as Ip;

export class SpeakerBench {
  readonly speaker: Speaker;
  now = 1000 as Instant;
  #connections = 0;
  readonly #of = new Map<string, number>();

  constructor(peers: readonly PeerSettings[], policies: Readonly<Record<string, PolicySettings>> = {}) {
    const routerId = ip4Number(local);
    this.speaker = new Speaker({
      asn: 64_512,
      routerId,
      clusterId: routerId,
      address: local,
      address6: undefined,
      policies,
      observes: true,
      jitter: () => 0.5,
    });
    this.speaker.rib.deferral.ownIsKnown();
    this.speaker.configure(peers, [], this.now);
  }

  /** Brings the session of a neighbour up. */
  connect({ address, remoteAs }: Pick<PeerSettings, "address" | "remoteAs">, more: Partial<Capabilities> = {}): void {
    const connection = ++this.#connections;
    this.#of.set(address, connection);
    this.speaker.accepted(connection, local, address, this.now);
    const capabilities = { ...noCapabilities, families: [{ afi: 1, safi: 1 }], fourOctetAs: remoteAs, ...more };
    this.say(address, encodeOpen({ asn: remoteAs, holdSeconds: 90, bgpIdentifier: ip4Number(address), capabilities }), encodeKeepalive());
  }
  say(address: string, ...messages: readonly Uint8Array[]): void {
    for (const buffer of messages) this.speaker.bytes(this.#of.get(address)!, { buffer, start: 0, end: buffer.length }, this.now);
  }
  tellAll(address: string): void {
    this.say(address, endOfRib);
  }
  disconnect(address: string): void {
    this.speaker.closed(this.#of.get(address)!, "connection reset by peer", this.now);
  }
  /** Decides all there is, and gives every neighbour what it is owed. */
  settle(): void {
    while (this.speaker.step(this.now, 1000));
    for (const { peer } of this.speaker.routes()) while (this.speaker.pull(peer, 100_000, this.now, () => {}) > 0);
  }
}
