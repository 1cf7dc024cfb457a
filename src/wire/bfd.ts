/**
 * The BFD control packet (RFC 5880 §4.1). Decoding does the checks of §6.8.6 that need nothing but the packet; those that need
 * a session (discriminators, authentication in use) are made in bfd/. Intervals are microseconds, as on the wire.
 */
import { Reader, Writer } from "#base/bytes.ts";
import { failed, ok, type Outcome } from "#base/fault.ts";

export const bfdVersion = 1;
const mandatoryLength = 24;
/** With the Authentication Section: its type and length at least. */
const leastAuthenticatedLength = 26;

/** §4.1 Sta, in the order of its values. */
export const bfdStates = ["AdminDown", "Down", "Init", "Up"] as const;
export type BfdState = (typeof bfdStates)[number];

/** §4.1 Diag: why the sender's state changed last. */
export const diagnostic = {
  none: 0,
  detectionTimeExpired: 1,
  echoFailed: 2,
  neighborSignaledDown: 3,
  forwardingPlaneReset: 4,
  pathDown: 5,
  concatenatedPathDown: 6,
  administrativelyDown: 7,
  reverseConcatenatedPathDown: 8,
} as const;

const diagnosticNames = [
  "no diagnostic",
  "control detection time expired",
  "echo function failed",
  "neighbor signaled session down",
  "forwarding plane reset",
  "path down",
  "concatenated path down",
  "administratively down",
  "reverse concatenated path down",
] as const;

export interface ControlPacket {
  /** 0 to 31. */
  readonly diagnostic: number;
  readonly state: BfdState;
  readonly poll: boolean;
  readonly final: boolean;
  /** BFD goes on while the sender's control plane is away. */
  readonly controlPlaneIndependent: boolean;
  readonly demand: boolean;
  /** Detect Mult, 1 to 255. */
  readonly multiplier: number;
  /** Unsigned, not 0. */
  readonly myDiscriminator: number;
  /** Unsigned; 0 if the sender does not know ours. */
  readonly yourDiscriminator: number;
  readonly desiredMinTxMicros: number;
  readonly requiredMinRxMicros: number;
  readonly requiredMinEchoRxMicros: number;
  /** What the Authentication Section says it is (§4.1 Auth Type); undefined without one. */
  readonly authenticationType: number | undefined;
}

export type BfdFaultKind = "truncated" | "version" | "length" | "multiplier" | "multipoint" | "discriminator" | "state";
export interface BfdFault {
  readonly kind: BfdFaultKind;
  readonly text: string;
}

const flag = { poll: 0x20, final: 0x10, controlPlaneIndependent: 0x08, authentication: 0x04, demand: 0x02, multipoint: 0x01 } as const;

/**
 * The payload of one UDP datagram, in network order. What follows the packet's own length is ignored (§6.8.6 asks only that it
 * be not longer than the payload). A fault means: discard.
 */
export function decodeControlPacket(bytes: Uint8Array): Outcome<ControlPacket, BfdFault> {
  if (bytes.length < mandatoryLength) return refused("truncated", `${bytes.length} octets are no control packet, which has ${mandatoryLength} at least`);
  const reader = new Reader(bytes);
  const first = reader.u8(),
    flags = reader.u8(),
    multiplier = reader.u8(),
    length = reader.u8();
  if (first >> 5 !== bfdVersion) return refused("version", `version ${first >> 5} is not ${bfdVersion}`);
  const authenticated = (flags & flag.authentication) !== 0;
  if (length < (authenticated ? leastAuthenticatedLength : mandatoryLength) || length > bytes.length)
    return refused("length", `a length of ${length} does not fit a payload of ${bytes.length} octets${authenticated ? " with authentication" : ""}`);
  if (multiplier === 0) return refused("multiplier", "Detect Mult is 0");
  if (flags & flag.multipoint) return refused("multipoint", "the Multipoint bit is set");
  const packet: ControlPacket = {
    diagnostic: first & 31,
    state: bfdStates[flags >> 6]!,
    poll: (flags & flag.poll) !== 0,
    final: (flags & flag.final) !== 0,
    controlPlaneIndependent: (flags & flag.controlPlaneIndependent) !== 0,
    demand: (flags & flag.demand) !== 0,
    multiplier,
    myDiscriminator: reader.u32(),
    yourDiscriminator: reader.u32(),
    desiredMinTxMicros: reader.u32(),
    requiredMinRxMicros: reader.u32(),
    requiredMinEchoRxMicros: reader.u32(),
    authenticationType: authenticated ? bytes[mandatoryLength] : undefined,
  };
  if (packet.myDiscriminator === 0) return refused("discriminator", "My Discriminator is 0");
  if (packet.yourDiscriminator === 0 && packet.state !== "Down" && packet.state !== "AdminDown")
    return refused("state", `Your Discriminator is 0 in state ${packet.state}`);
  return ok(packet);
}

/** 24 octets in network order. We do not authenticate, so there is no section for it. */
export function encodeControlPacket(packet: Omit<ControlPacket, "authenticationType">): Uint8Array {
  let flags = bfdStates.indexOf(packet.state) << 6;
  for (const name of ["poll", "final", "controlPlaneIndependent", "demand"] as const) if (packet[name]) flags |= flag[name];
  return new Writer(mandatoryLength)
    .u8((bfdVersion << 5) | packet.diagnostic)
    .u8(flags)
    .u8(packet.multiplier)
    .u8(mandatoryLength)
    .u32(packet.myDiscriminator)
    .u32(packet.yourDiscriminator)
    .u32(packet.desiredMinTxMicros)
    .u32(packet.requiredMinRxMicros)
    .u32(packet.requiredMinEchoRxMicros).written;
}

/** The registry's name of a diagnostic code, in lower case. */
export function describeDiagnostic(code: number): string {
  return diagnosticNames[code] ?? `diagnostic ${code}`;
}

const refused = (kind: BfdFaultKind, text: string): { readonly ok: false; readonly fault: BfdFault } => failed({ kind, text });
