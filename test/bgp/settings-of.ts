/** Settings of neighbours as the document's compiler would give them, with what a test wants different. */
import { type Ip, ip4Number } from "#base/ip.ts";
import type { Prefix } from "#base/prefix.ts";
import type { PeerSettings, RangeSettings, SessionSettings } from "#base/settings.ts";
import type { SpeakerIdentity } from "#bgp/fsm/negotiate.ts";

export const session: SessionSettings = {
  remoteAs: 64_512,
  role: "client",
  holdSeconds: 90,
  connectRetrySeconds: 30,
  families: ["ipv4", "ipv6"],
  passive: false,
  gracefulRestart: { restartSeconds: 120, staleSeconds: 300 },
  md5: undefined,
  multihop: undefined,
  ttlSecurityHops: undefined,
  nextHopSelf: false,
  import: [],
  export: [],
  maxPrefixes: undefined,
};

export function peerOf(name: string, address: string, more: Partial<PeerSettings> = {}): PeerSettings {
  return { ...session, name, address: address as Ip, port: 179, source: undefined, ...more };
}

export function rangeOf(name: string, range: string, more: Partial<RangeSettings> = {}): RangeSettings {
  return { ...session, name, range: range as Prefix, limit: 100, ...more };
}

export function identityOf(routerId: string, more: Partial<SpeakerIdentity> = {}): SpeakerIdentity {
  return { asn: 64_512, routerId: ip4Number(routerId), clusterId: ip4Number(routerId), jitter: () => 0.5, ...more };
}
