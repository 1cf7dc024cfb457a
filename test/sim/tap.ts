/**
 * Reads along what every speaker writes, message by message, and keeps what each peer has been told in its session: the
 * Adj-RIB-Out as the wire has it, made without the speaker's own tables.
 */
import { printIp } from "#base/ip.ts";
import type { Prefix } from "#base/prefix.ts";
import { printAsPath } from "#wire/bgp/as-path.ts";
import { type PathAttributes, decodeAttributes } from "#wire/bgp/attribute.ts";
import { headerLength, maxExtendedMessageLength, messageType } from "#wire/bgp/constants.ts";
import { frame } from "#wire/bgp/message.ts";
import { type Nlri, decodePrefixes } from "#wire/bgp/nlri.ts";
import { type Open, decodeOpen } from "#wire/bgp/open.ts";
import { emptyRanges, endOfRib, splitUpdate } from "#wire/bgp/update.ts";

/** One route as it was told, in words that can be compared. */
export function routeText(values: PathAttributes, nextHop: Uint8Array): string {
  const { localPref, asPath, originatorId, clusterList } = values;
  return `via ${printIp(nextHop.subarray(0, nextHop.length === 32 ? 16 : nextHop.length))} path ${printAsPath(asPath ?? [])} pref ${localPref ?? "-"} from ${originatorId ?? "-"} through ${clusterList?.join() ?? "-"}`;
}

export interface ToldSession {
  /** What the peer should hold now. */
  readonly told: Map<Prefix, string>;
  /** What was told since it was last looked at. */
  readonly news: Set<Prefix>;
  /** Families whose End-of-RIB was sent: 4, 6. */
  readonly ended: Set<4 | 6>;
}

export interface TapEvents {
  /** An OPEN goes out. */
  open(open: Open): void;
  /** A route is told. */
  announced(prefix: Prefix): void;
  /** Told to go, though the peer had not been told of it. */
  needless(prefix: Prefix): void;
  /** End-of-RIB goes out: everything is to be told by now. */
  ended(family: 4 | 6): void;
  /** Octets that are no message, or a message that is not as it should be. */
  faulty(text: string): void;
}

export const newSession = (): ToldSession => ({ told: new Map(), news: new Set(), ended: new Set() });

const form = { 4: { family: 4, addPath: false }, 6: { family: 6, addPath: false } } as const;
const ranges = emptyRanges();

/** Takes whole messages that one side of a session sends. `internal`: the peer is in our AS. */
export function readAlong(session: ToldSession, bytes: Uint8Array, internal: boolean, events: TapEvents): void {
  for (let at = 0; at < bytes.length;) {
    const length = frame(bytes, at, bytes.length, maxExtendedMessageLength),
      start = at + headerLength,
      end = at + length;
    if (length <= 0) return events.faulty(`what it sends is no message: ${Buffer.from(bytes.subarray(at, at + 24)).toString("hex")}`);
    const type = bytes[at + headerLength - 1];
    if (type === messageType.update) update(session, bytes, start, end, internal, events);
    if (type === messageType.open) {
      const open = decodeOpen(bytes, start, end);
      if (open.ok) events.open(open.value);
      else events.faulty(`its OPEN is refused: ${open.fault.text}`);
    }
    at = end;
  }
}

function update(session: ToldSession, bytes: Uint8Array, start: number, end: number, internal: boolean, events: TapEvents): void {
  const fault = splitUpdate(bytes, start, end, ranges);
  if (fault) return events.faulty(`its UPDATE is refused: ${fault.text}`);
  const eor = endOfRib(bytes, ranges);
  if (eor !== 0) {
    const family = eor >> 8 === 1 ? 4 : 6;
    session.ended.add(family);
    return events.ended(family);
  }
  const { attributes, reach, unreach, faults } = decodeAttributes(bytes, ranges.attributesStart, ranges.attributesEnd, { internal, fourOctetAs: true });
  if (faults.length > 0) return events.faulty(`its UPDATE is malformed: ${faults.map(({ text }) => text).join("; ")}`);
  const withdrawn = decodePrefixes(bytes, ranges.withdrawnStart, ranges.withdrawnEnd, form[4]),
    nlri = decodePrefixes(bytes, ranges.nlriStart, ranges.nlriEnd, form[4]);
  const gone = unreach && decodePrefixes(bytes, unreach.start, unreach.end, form[6]),
    there = reach && decodePrefixes(bytes, reach.nlriStart, reach.nlriEnd, form[6]);
  for (const { prefix } of [...(withdrawn ?? []), ...(gone ?? [])]) if (!session.told.delete(prefix)) events.needless(prefix);
  const tell = (prefixes: readonly Nlri[], nextHop: Uint8Array | undefined): void => {
    if (prefixes.length === 0) return;
    if (!nextHop || attributes.origin === undefined || attributes.asPath === undefined) return events.faulty("a mandatory attribute is missing in its UPDATE");
    const text = routeText(attributes, nextHop);
    for (const { prefix } of prefixes) {
      session.told.set(prefix, text);
      events.announced(prefix);
    }
  };
  tell(nlri ?? [], attributes.nextHop);
  tell(there ?? [], reach?.nextHop);
}
