/** What a peer sent that was malformed, as values for people (RFC 7606 §6). */
import { callerFault, type CallerFault, failed, ok, type Outcome } from "#base/fault.ts";
import { type Ip, parseIp } from "#base/ip.ts";
import type { Instant } from "#base/time.ts";
import type { Speaker } from "#bgp/speaker.ts";
import type { PeerErrorsView } from "./control.ts";

/** `peer`: a name or an address; of an address also after the neighbour itself has gone. */
export function viewPeerErrors(speaker: Speaker, peer: string, now: Instant): Outcome<PeerErrorsView, CallerFault> {
  const info = speaker.neighbours.info().find(({ name, address }) => name === peer || address === peer),
    address = info?.address ?? (parseIp(peer) as Ip | undefined),
    found = address && speaker.rib.malformed.of(address);
  if (!found || (!info && found.messages.length === 0))
    return failed(
      callerFault("api.no-such-peer", `there is no peer named ${JSON.stringify(peer)}, and nothing malformed came from there: podway peers lists them.`),
    );
  return ok({
    name: info?.name ?? peer,
    address: address!,
    discarded: found.discard,
    withdrawn: found.withdraw,
    reset: found.reset,
    configured: found.configured,
    messages: found.messages.map(({ at, treatment, text, attributes, prefixes, prefixCount, octets }) => ({
      agoSeconds: Math.max(0, Math.round((now - at) / 1000)),
      treatment,
      text,
      attributes,
      prefixes,
      prefixCount,
      octets: hexOf(octets),
    })),
  });
}

/** What became of UPDATEs, by peer, for metrics: those who sent nothing malformed are not in here. */
export function countErrors(speaker: Speaker): readonly { readonly labels: Readonly<Record<string, string>>; readonly value: number }[] {
  return [...speaker.rib.malformed.all()].flatMap(([peer, { discard, withdraw, reset, configured }]) =>
    Object.entries({ discard, withdraw, reset, configured }).map(([treatment, value]) => ({ labels: { peer, treatment }, value })),
  );
}

const hexOf = (octets: Uint8Array): string => Buffer.from(octets.buffer, octets.byteOffset, octets.length).toString("hex");
