/** Sessions of a RIB without sessions: terms, settings and UPDATEs as the session layer would bring them. */
import { assert } from "#base/assert.ts";
import { type Ip, ip4Number } from "#base/ip.ts";
import type { Prefix } from "#base/prefix.ts";
import type { PeerRole, SessionSettings } from "#base/settings.ts";
import type { Instant } from "#base/time.ts";
import { Rib, type RibSettings } from "#bgp/rib/rib.ts";
import type { FamilyIndex, SessionTerms } from "#bgp/terms.ts";
import type { PathAttributes } from "#wire/bgp/attribute.ts";
import { encodeUpdate, type Update } from "#wire/bgp/update.ts";
import { session } from "./settings-of.ts";
import { type RouteName, ToldReader } from "./told-reader.ts";

export type { RouteName };

export const ownAs = 65_000;
export const own: RibSettings = {
  asn: ownAs,
  routerId: ip4Number("10.255.0.1"),
  clusterId: ip4Number("10.255.0.9"),
  address: "10.255.0.1" as Ip,
  address6: "fd00:255::1" as Ip,
  policies: {},
  observes: false,
};

export function splitName(name: RouteName): { readonly prefix: Prefix; readonly pathId?: number } {
  const [prefix, pathId] = name.split("#") as [Prefix, string?];
  return pathId === undefined ? { prefix } : { prefix, pathId: Number(pathId) };
}

export const at = (millis: number): Instant => millis as Instant;
export const sequence = (...asns: number[]): NonNullable<PathAttributes["asPath"]> => (asns.length === 0 ? [] : [{ type: 2, asns: Uint32Array.from(asns) }]);
export const v4Hop = (last: number): Uint8Array => Uint8Array.of(10, 0, 0, last);
export const v6Hop = (last: number): Uint8Array => Uint8Array.of(0xfd, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last);

export function termsOf(peer: number, role: PeerRole, more: Partial<SessionTerms> = {}): SessionTerms {
  return {
    remoteAs: role === "external" ? 64_600 + peer : ownAs,
    remoteId: ip4Number("10.0.0.0") + peer,
    role,
    holdSeconds: 90,
    keepaliveMillis: 30_000,
    families: [0, 1],
    fourOctetAs: true,
    routeRefresh: true,
    enhancedRefresh: true,
    extendedMessages: false,
    gracefulRestart: undefined,
    local: "10.255.0.1" as Ip,
    remote: `10.0.0.${peer}` as Ip,
    ...more,
  };
}

/** What graceful restart a peer states. */
export function restartOf(forwarding: readonly FamilyIndex[], families: readonly FamilyIndex[] = [0, 1]): NonNullable<SessionTerms["gracefulRestart"]> {
  return {
    restarting: false,
    notification: true,
    restartSeconds: 120,
    families: families.map((family) => ({ family, forwarding: forwarding.includes(family) })),
  };
}

/** A RIB whose peers are strict readers. */
export class RibPeers {
  readonly rib: Rib;
  readonly readers = new Map<number, ToldReader>();
  now = at(1000);

  constructor(more: Partial<RibSettings> = {}) {
    this.rib = new Rib({ ...own, ...more });
    this.rib.deferral.ownIsKnown();
  }

  up(peer: number, terms: SessionTerms, settings: Partial<SessionSettings> = {}): ToldReader {
    const reader = new ToldReader(peer, terms);
    this.readers.set(peer, reader);
    this.rib.up(peer, terms, { ...session, remoteAs: terms.remoteAs, role: terms.role, ...settings }, this.now);
    return reader;
  }
  down(peer: number, retain = false): void {
    this.readers.delete(peer);
    this.rib.down(peer, { retain, reason: "test", notification: undefined }, this.now);
  }

  /** The fault an UPDATE costs, if it costs the session. */
  update(peer: number, update: Update): ReturnType<Rib["update"]> {
    const bytes = encodeUpdate(update, { fourOctetAs: this.rib.peers.terms[peer]!.fourOctetAs });
    return this.rib.update(peer, bytes, 19, bytes.length);
  }
  /** The next hop among `attributes` goes where the family has it. */
  announce(peer: number, attributes: PathAttributes, ...prefixes: RouteName[]): void {
    const nlri = prefixes.map(splitName),
      { nextHop, ...others } = attributes;
    assert(nextHop !== undefined, "a route has a next hop");
    const afi = prefixes[0]!.includes(":") ? 2 : 1;
    const fault = this.update(peer, nextHop.length === 4 ? { attributes, nlri } : { attributes: others, reach: { afi, safi: 1, nextHop, nlri } });
    assert(fault === undefined, `no fault in a good UPDATE: ${fault?.text}`);
  }
  withdraw(peer: number, ...prefixes: RouteName[]): void {
    const withdrawn = prefixes.map(splitName);
    const fault = this.update(peer, prefixes[0]!.includes(":") ? { unreach: { afi: 2, safi: 1, withdrawn } } : { withdrawn });
    assert(fault === undefined, "no fault in a good UPDATE");
  }
  endOfRib(peer: number, family: FamilyIndex): void {
    assert(this.update(peer, family === 0 ? {} : { unreach: { afi: 2, safi: 1, withdrawn: [] } }) === undefined, "no fault in End-of-RIB");
  }

  pull(peer: number, room = 65_536): number {
    return this.rib.pull(peer, room, this.now, (bytes) => this.readers.get(peer)!.take(bytes));
  }
  /** Decides and tells until there is nothing to decide and nothing to tell. */
  settle(): void {
    for (let rounds = 0; ; rounds++) {
      assert(rounds < 10_000, "the RIB comes to rest");
      let more = this.rib.step(this.now, 1000);
      const steps = this.rib.steps;
      for (const peer of this.readers.keys()) if (this.pull(peer) > 0) more = true;
      if (!more && this.rib.steps === steps) return;
    }
  }

  /** What a peer has been told, as texts by prefix. */
  told(peer: number): ReadonlyMap<string, string> {
    const { routes } = this.readers.get(peer)!;
    return new Map([...routes[0], ...routes[1]]);
  }

  /** Everything the RIB holds; all zero once everybody is gone. */
  live(): Readonly<Record<string, number>> {
    const { attributes, peers, ribs } = this.rib;
    return {
      sets: attributes.live,
      prefixes4: ribs[0].prefixes.live,
      prefixes6: ribs[1].prefixes.live,
      paths4: ribs[0].adjRibIn.live,
      paths6: ribs[1].adjRibIn.live,
      chosen4: ribs[0].chosen,
      chosen6: ribs[1].chosen,
      counted: peers.paths.reduce((sum, count) => sum + count, 0),
      old: peers.old.reduce((sum, count) => sum + count, 0),
    };
  }
}
export const nothingLive = { sets: 0, prefixes4: 0, prefixes6: 0, paths4: 0, paths6: 0, chosen4: 0, chosen6: 0, counted: 0, old: 0 };
