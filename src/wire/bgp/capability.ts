/**
 * Capabilities of an OPEN (RFC 5492 §4) both ways: one row each, unknown ones kept as they came.
 *
 *   | code 1 | length 1 | value |
 */
import { assert } from "#base/assert.ts";
import { type Reader, Writer } from "#base/bytes.ts";
import { capabilityCode, errorCode, openSubcode } from "./constants.ts";
import { type Decoded, peerFault } from "./notification.ts";

export interface AddressFamily {
  readonly afi: number;
  readonly safi: number;
}

export interface GracefulRestart {
  /** R: the speaker has restarted (RFC 4724 §3). */
  readonly restarting: boolean;
  /** N: a NOTIFICATION keeps the routes too (RFC 8538 §2). */
  readonly notification: boolean;
  /** 0 to 4095. */
  readonly restartSeconds: number;
  /** With the F bit of each: its forwarding state was kept. */
  readonly families: readonly (AddressFamily & { readonly forwarding: boolean })[];
}

export interface Capabilities {
  /** Multiprotocol; empty means IPv4 unicast alone (`offeredFamilies`). */
  readonly families: readonly AddressFamily[];
  readonly routeRefresh: boolean;
  readonly enhancedRouteRefresh: boolean;
  readonly extendedMessage: boolean;
  /** The speaker's AS number (RFC 6793 §3). */
  readonly fourOctetAs?: number;
  readonly gracefulRestart?: GracefulRestart;
  /** What the speaker is able to do per family (RFC 7911 §4). */
  readonly addPath: readonly (AddressFamily & { readonly receive: boolean; readonly send: boolean })[];
  /** Families it takes with a next hop of another family (RFC 8950 §4). */
  readonly extendedNextHop: readonly (AddressFamily & { readonly nextHopAfi: number })[];
  /** RFC 9494 §3. */
  readonly longLived: readonly (AddressFamily & { readonly forwarding: boolean; readonly staleSeconds: number })[];
  /** 0 provider, 1 route server, 2 its client, 3 customer, 4 peer (RFC 9234 §4.1). */
  readonly role?: number;
  /** In the order they came. */
  readonly unknown: readonly { readonly code: number; readonly value: Uint8Array }[];
}

export const noCapabilities: Capabilities = {
  families: [],
  routeRefresh: false,
  enhancedRouteRefresh: false,
  extendedMessage: false,
  addPath: [],
  extendedNextHop: [],
  longLived: [],
  unknown: [],
};

/** RFC 4760 §8: a speaker that names no family means IPv4 unicast. */
export function offeredFamilies({ families }: Capabilities): readonly AddressFamily[] {
  return families.length > 0 ? families : [{ afi: 1, safi: 1 }];
}

type Draft = { -readonly [K in keyof Capabilities]: Capabilities[K] };

interface Row {
  readonly code: number;
  readonly name: string;
  readonly fits: (length: number) => boolean;
  /** Merges one instance into the draft: a later one is added to lists of families, and replaces anything else. */
  readonly decode: (value: Reader, into: Draft) => void;
  /** One value per instance to write; none if it is not among the capabilities. */
  readonly encode: (of: Capabilities) => readonly Writer[];
}

const exactly =
  (size: number) =>
  (length: number): boolean =>
    length === size;
const manyOf =
  (size: number) =>
  (length: number): boolean =>
    length % size === 0;

const value = (): Writer => new Writer(16);
/** One instance that lists `families`, or none if there are none. */
const listing = <T>(families: readonly T[], put: (one: T, into: Writer) => void): readonly Writer[] => {
  const into = value();
  for (const one of families) put(one, into);
  return families.length > 0 ? [into] : [];
};

type Flag = "routeRefresh" | "enhancedRouteRefresh" | "extendedMessage";
const flagRow = (code: number, name: string, key: Flag): Row => ({
  code,
  name,
  fits: exactly(0),
  decode: (_, into) => {
    into[key] = true;
  },
  encode: (of) => (of[key] ? [value()] : []),
});

const rows: readonly Row[] = [
  {
    code: capabilityCode.multiprotocol,
    name: "Multiprotocol",
    fits: exactly(4),
    decode: (v, into) => {
      into.families = replace(into.families, [{ afi: v.u16(), safi: v.u16() & 0xff }]);
    },
    encode: ({ families }) => families.map(({ afi, safi }) => value().u16(afi).u16(safi)),
  },
  flagRow(capabilityCode.routeRefresh, "Route Refresh", "routeRefresh"),
  {
    code: capabilityCode.extendedNextHop,
    name: "Extended Next Hop Encoding",
    fits: manyOf(6),
    decode: (v, into) => {
      const found = list(v, () => ({ afi: v.u16(), safi: v.u16() & 0xff, nextHopAfi: v.u16() }));
      into.extendedNextHop = [...into.extendedNextHop, ...found];
    },
    encode: ({ extendedNextHop }) => listing(extendedNextHop, ({ afi, safi, nextHopAfi }, into) => into.u16(afi).u16(safi).u16(nextHopAfi)),
  },
  flagRow(capabilityCode.extendedMessage, "Extended Message", "extendedMessage"),
  {
    code: capabilityCode.role,
    name: "BGP Role",
    fits: exactly(1),
    decode: (v, into) => {
      into.role = v.u8();
    },
    encode: ({ role }) => (role === undefined ? [] : [value().u8(role)]),
  },
  {
    code: capabilityCode.gracefulRestart,
    name: "Graceful Restart",
    fits: (length) => length >= 2 && (length - 2) % 4 === 0,
    decode: (v, into) => {
      const head = v.u16();
      const families = list(v, () => ({ afi: v.u16(), safi: v.u8(), forwarding: (v.u8() & 0x80) !== 0 }));
      into.gracefulRestart = { restarting: (head & 0x8000) !== 0, notification: (head & 0x4000) !== 0, restartSeconds: head & 0x0fff, families };
    },
    encode: ({ gracefulRestart }) => {
      if (!gracefulRestart) return [];
      const { restarting, notification, restartSeconds, families } = gracefulRestart;
      const into = value().u16((restarting ? 0x8000 : 0) | (notification ? 0x4000 : 0) | Math.min(restartSeconds, 0x0fff));
      for (const { afi, safi, forwarding } of families)
        into
          .u16(afi)
          .u8(safi)
          .u8(forwarding ? 0x80 : 0);
      return [into];
    },
  },
  {
    code: capabilityCode.fourOctetAs,
    name: "Four-octet AS Number",
    fits: exactly(4),
    decode: (v, into) => {
      into.fourOctetAs = v.u32();
    },
    encode: ({ fourOctetAs }) => (fourOctetAs === undefined ? [] : [value().u32(fourOctetAs)]),
  },
  {
    // RFC 7911 §4: 1 receive, 2 send, 3 both; a tuple with anything else is ignored.
    code: capabilityCode.addPath,
    name: "ADD-PATH",
    fits: manyOf(4),
    decode: (v, into) => {
      const found = list(v, () => ({ afi: v.u16(), safi: v.u8(), mode: v.u8() })).filter(({ mode }) => mode >= 1 && mode <= 3);
      into.addPath = replace(
        into.addPath,
        found.map(({ afi, safi, mode }) => ({ afi, safi, receive: (mode & 1) !== 0, send: (mode & 2) !== 0 })),
      );
    },
    encode: ({ addPath }) =>
      listing(addPath, ({ afi, safi, receive, send }, into) =>
        into
          .u16(afi)
          .u8(safi)
          .u8((receive ? 1 : 0) | (send ? 2 : 0)),
      ),
  },
  flagRow(capabilityCode.enhancedRouteRefresh, "Enhanced Route Refresh", "enhancedRouteRefresh"),
  {
    code: capabilityCode.longLivedGracefulRestart,
    name: "Long-lived Graceful Restart",
    fits: manyOf(7),
    decode: (v, into) => {
      into.longLived = list(v, () => ({ afi: v.u16(), safi: v.u8(), forwarding: (v.u8() & 0x80) !== 0, staleSeconds: v.u24() }));
    },
    encode: ({ longLived }) =>
      listing(longLived, ({ afi, safi, forwarding, staleSeconds }, into) => {
        into
          .u16(afi)
          .u8(safi)
          .u8(forwarding ? 0x80 : 0)
          .u24(Math.min(staleSeconds, 0xff_ffff));
      }),
  },
];
const rowOf: ReadonlyMap<number, Row> = new Map(rows.map((row) => [row.code, row]));

function list<T>(v: Reader, read: () => T): T[] {
  const out: T[] = [];
  while (v.left > 0) out.push(read());
  return out;
}

/** `old` with `found` added; a family named again takes the place of its former entry. */
function replace<T extends AddressFamily>(old: readonly T[], found: readonly T[]): T[] {
  const out = [...old];
  for (const one of found) {
    const at = out.findIndex(({ afi, safi }) => afi === one.afi && safi === one.safi);
    out.splice(at < 0 ? out.length : at, 1, one);
  }
  return out;
}

/** Reads the capabilities in `from` on top of `into`: several optional parameters are one list (RFC 5492 §4). */
export function decodeCapabilities(from: Reader, into: Capabilities): Decoded<Capabilities> {
  const draft: Draft = { ...into };
  while (from.left > 0) {
    if (from.left < 2) return refused("a capability is cut off");
    const code = from.u8(),
      length = from.u8();
    if (length > from.left) return refused(`capability ${code} runs past its optional parameter`);
    const row = rowOf.get(code);
    if (!row) {
      draft.unknown = [...draft.unknown, { code, value: new Uint8Array(from.view(length)) }];
      continue;
    }
    if (!row.fits(length)) return refused(`the ${row.name} capability cannot have ${length} octets`);
    const { role } = draft;
    row.decode(from.slice(length), draft);
    // RFC 9234 §4.2: several Role capabilities are one if they agree, and a mismatch if they do not.
    if (role !== undefined && role !== draft.role) return refused(`roles ${role} and ${draft.role} in one OPEN`, openSubcode.roleMismatch);
  }
  return { ok: true, value: draft };
}

/** RFC 4271 §6.2: an optional parameter that is recognised but malformed has subcode 0. */
function refused(text: string, subcode = 0): Decoded<Capabilities> {
  return { ok: false, fault: peerFault(errorCode.openMessage, subcode, text) };
}

/** In the order of the rows, unknown ones last. */
export function encodeCapabilities(of: Capabilities, into: Writer): void {
  const put = (code: number, value: Uint8Array): void => {
    assert(value.length <= 255, `capability ${code} fits into 255 octets`);
    into.u8(code).u8(value.length).put(value);
  };
  for (const { code, encode } of rows) for (const { written } of encode(of)) put(code, written);
  for (const { code, value } of of.unknown) put(code, value);
}
