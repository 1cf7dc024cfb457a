/**
 * One look over path attributes that are already in canonical form (ascending type codes, expected flags, four-octet AS
 * numbers), filling in what the decision process compares. A hot file; its slow and complete twin is the table of rows in
 * wire/bgp/attribute.ts: whatever is unusual here (any error, any order but the usual, anything to convert) is answered
 * `false`, and the twin decides what it means (RFC 7606) and writes the canonical form.
 */

/** What was read; one object, reused. Offsets are relative to the start of the attributes. */
export interface Scanned {
  origin: number;
  asLength: number;
  /** First AS of the leading AS_SEQUENCE (RFC 4271 §9.1.2.2 c); 0 if the path is empty: then it counts as the local AS. */
  neighborAs: number;
  localPref: number;
  hasLocalPref: boolean;
  med: number;
  originatorId: number;
  clusterLength: number;
  flags: number;
  /** Where attributes of type 9 and above begin: ORIGINATOR_ID and CLUSTER_LIST go in here. */
  splitAt: number;
  /** Where attributes above type 10 begin. */
  tailAt: number;
  /** Offset of the value of NEXT_HOP; -1 without one. */
  nextHopAt: number;
  /** ORIGIN and AS_PATH are there. */
  hasMandatory: boolean;
}

/** Bits of `flags`, kept per attribute set. */
export const flagLoop = 1; // own AS, own ORIGINATOR_ID or own CLUSTER_ID is in it
export const flagNoExport = 2; // RFC 1997, also NO_EXPORT_SUBCONFED
export const flagNoAdvertise = 4;
export const flagInternalOnly = 8; // LOCAL_PREF, ORIGINATOR_ID or CLUSTER_LIST: never valid from an external peer
export const flagHasLocalPref = 16;
export const flagHasMed = 32;
export const flagGracefulShutdown = 64; // RFC 8326
export const flagOwnNextHop = 128; // an address of ours: nobody else's route may have it (RFC 4271 §5.1.3)
export const flagLongLivedStale = 256; // LLGR_STALE (RFC 9494 §4.3)
export const flagNoLongLived = 512; // NO_LLGR
export const flagOnlyToCustomer = 1024; // OTC (RFC 9234 §5), always by way of the rows

export interface Self {
  readonly asn: number;
  readonly routerId: number;
  readonly clusterId: number;
  /** Our addresses, 4 or 16 octets each. */
  readonly addresses: readonly Uint8Array[];
}

export const defaultLocalPref = 100;
const mostCommunities = 64; // more are left to the rows: looking for duplicates takes the square of them

export function emptyScan(): Scanned {
  return {
    origin: 0,
    asLength: 0,
    neighborAs: 0,
    localPref: 0,
    hasLocalPref: false,
    med: 0,
    originatorId: 0,
    clusterLength: 0,
    flags: 0,
    splitAt: 0,
    tailAt: 0,
    nextHopAt: -1,
    hasMandatory: false,
  };
}

const optionalTransitive = 0xc0;

/** True if b[start, end) is canonical and free of faults; then `out` is filled in. */
export function scanAttributes(b: Uint8Array, start: number, end: number, self: Self, out: Scanned): boolean {
  out.asLength = 0;
  out.neighborAs = 0;
  out.localPref = defaultLocalPref;
  out.hasLocalPref = false;
  out.med = 0;
  out.originatorId = 0;
  out.clusterLength = 0;
  out.flags = 0;
  out.splitAt = -1;
  out.tailAt = -1;
  out.nextHopAt = -1;
  let at = start,
    last = 0,
    seen = 0;
  while (at < end) {
    if (at + 3 > end) return false;
    const flags = b[at]!,
      type = b[at + 1]!;
    let length = b[at + 2]!,
      v = at + 3;
    if (flags & 0x10) {
      if (at + 4 > end) return false;
      length = (length << 8) | b[at + 3]!;
      if (length < 256) return false; // canonical form uses one octet where it fits
      v = at + 4;
    }
    if (type <= last || v + length > end || flags & 0x0f) return false;
    last = type;
    if (type >= 9 && out.splitAt < 0) out.splitAt = at - start;
    if (type > 10 && out.tailAt < 0) out.tailAt = at - start;
    const kind = flags & 0xe0;
    switch (type) {
      case 1: // ORIGIN
        if (kind !== 0x40 || length !== 1 || b[v]! > 2) return false;
        out.origin = b[v]!;
        seen |= 1;
        break;
      case 2: // AS_PATH
        if (kind !== 0x40 || !scanAsPath(b, v, v + length, self.asn, out)) return false;
        seen |= 2;
        break;
      case 3: // NEXT_HOP: 0/8, 127/8 and class D, E are left to the rows
        if (kind !== 0x40 || length !== 4 || b[v] === 0 || b[v] === 127 || b[v]! >= 224) return false;
        out.nextHopAt = v - start;
        break;
      case 4: // MULTI_EXIT_DISC
        if (kind !== 0x80 || length !== 4) return false;
        out.med = u32(b, v);
        out.flags |= flagHasMed;
        break;
      case 5: // LOCAL_PREF
        if (kind !== 0x40 || length !== 4) return false;
        out.localPref = u32(b, v);
        out.hasLocalPref = true;
        out.flags |= flagInternalOnly | flagHasLocalPref;
        break;
      case 6: // ATOMIC_AGGREGATE
        if (kind !== 0x40 || length !== 0) return false;
        break;
      case 7: // AGGREGATOR, four-octet form; AS 0 is left to the rows (RFC 7607)
        if ((kind & 0xc0) !== optionalTransitive || length !== 8 || u32(b, v) === 0) return false;
        break;
      case 8: // COMMUNITIES
        if ((kind & 0xc0) !== optionalTransitive || length === 0 || length & 3) return false;
        if (length > 4 && (length > 4 * mostCommunities || hasTwice(b, v, v + length))) return false;
        for (let c = v; c < v + length; c += 4) if (b[c] === 255 && b[c + 1] === 255) wellKnown(b, c, out);
        break;
      case 9: // ORIGINATOR_ID
        if (kind !== 0x80 || length !== 4) return false;
        out.originatorId = u32(b, v);
        out.flags |= flagInternalOnly;
        if (out.originatorId === self.routerId) out.flags |= flagLoop;
        break;
      case 10: // CLUSTER_LIST
        if (kind !== 0x80 || length === 0 || length & 3) return false;
        out.clusterLength = length >> 2;
        out.flags |= flagInternalOnly;
        for (let c = v; c < v + length; c += 4) if (u32(b, c) === self.clusterId) out.flags |= flagLoop;
        break;
      case 16: // EXTENDED COMMUNITIES
        if ((kind & 0xc0) !== optionalTransitive || length === 0 || length & 7) return false;
        break;
      case 32: // LARGE COMMUNITY; more than one needs the look for duplicates (RFC 8092 §3)
        if ((kind & 0xc0) !== optionalTransitive || length !== 12) return false;
        break;
      default: // unknown: only one that is optional, transitive and already marked partial passes as it stands
        if (type < 9 || type === 14 || type === 15 || type === 17 || type === 18 || type === 35 || kind !== 0xe0) return false;
    }
    at = v + length;
  }
  if (out.splitAt < 0) out.splitAt = end - start;
  if (out.tailAt < 0) out.tailAt = end - start;
  out.hasMandatory = seen === 3;
  return true;
}

function scanAsPath(b: Uint8Array, start: number, end: number, own: number, out: Scanned): boolean {
  let at = start;
  while (at < end) {
    if (at + 2 > end) return false;
    const type = b[at]!,
      count = b[at + 1]!;
    const next = at + 2 + 4 * count;
    if (type !== 2 || count === 0 || next > end) return false; // sets and confederation segments: the rows
    for (let a = at + 2; a < next; a += 4) {
      const asn = u32(b, a);
      if (asn === 0) return false;
      if (asn === own) out.flags |= flagLoop;
      if (a === start + 2) out.neighborAs = asn;
    }
    out.asLength += count;
    at = next;
  }
  return true;
}

/** The canonical form has every community once. */
function hasTwice(b: Uint8Array, start: number, end: number): boolean {
  for (let at = start + 4; at < end; at += 4) {
    const value = u32(b, at);
    for (let other = start; other < at; other += 4) if (u32(b, other) === value) return true;
  }
  return false;
}

function wellKnown(b: Uint8Array, at: number, out: Scanned): void {
  const low = (b[at + 2]! << 8) | b[at + 3]!;
  if (low === 0xff01 || low === 0xff03) out.flags |= flagNoExport;
  else if (low === 0xff02) out.flags |= flagNoAdvertise;
  else if (low === 0) out.flags |= flagGracefulShutdown;
  else if (low === 6) out.flags |= flagLongLivedStale;
  else if (low === 7) out.flags |= flagNoLongLived;
}

export function u32(b: Uint8Array, at: number): number {
  return ((b[at]! << 24) | (b[at + 1]! << 16) | (b[at + 2]! << 8) | b[at + 3]!) >>> 0;
}
