/** Code points of BGP-4, each group with its IANA registry. Numbers only; what they mean to a person is in notification.ts. */

/** RFC 4271 §4.1: marker 16, length 2, type 1. */
export const headerLength = 19;
/** RFC 4271 §4; OPEN and KEEPALIVE stay at this even with extended messages (RFC 8654 §4). */
export const maxMessageLength = 4096;
/** RFC 8654 §3. */
export const maxExtendedMessageLength = 65_535;
/** RFC 6793 §9: stands in two-octet fields for an AS number that needs four. */
export const asTrans = 23_456;

/** Registry "BGP Message Types". */
export const messageType = { open: 1, update: 2, notification: 3, keepalive: 4, routeRefresh: 5 } as const;

/** Registry "BGP Path Attributes", bits of the flags octet (RFC 4271 §4.3). */
export const attributeFlag = { optional: 0x80, transitive: 0x40, partial: 0x20, extendedLength: 0x10 } as const;

/** Registry "BGP Path Attributes". */
export const attributeType = {
  origin: 1,
  asPath: 2,
  nextHop: 3,
  med: 4,
  localPref: 5,
  atomicAggregate: 6,
  aggregator: 7,
  communities: 8,
  originatorId: 9,
  clusterList: 10,
  mpReach: 14,
  mpUnreach: 15,
  extendedCommunities: 16,
  as4Path: 17,
  as4Aggregator: 18,
  largeCommunities: 32,
  onlyToCustomer: 35,
} as const;

/** Values of ORIGIN (RFC 4271 §5.1.1). */
export const origin = { igp: 0, egp: 1, incomplete: 2 } as const;

/** Registry "Address Family Numbers". */
export const afi = { ipv4: 1, ipv6: 2 } as const;
/** Registry "SAFI Values". */
export const safi = { unicast: 1 } as const;

/** One number for a family: AFI × 256 + SAFI. */
export function familyKey(afi: number, safi: number): number {
  return afi * 256 + safi;
}

/** Registry "Capability Codes" (RFC 5492). */
export const capabilityCode = {
  multiprotocol: 1,
  routeRefresh: 2,
  extendedNextHop: 5,
  extendedMessage: 6,
  role: 9,
  gracefulRestart: 64,
  fourOctetAs: 65,
  addPath: 69,
  enhancedRouteRefresh: 70,
  longLivedGracefulRestart: 71,
} as const;

/** ROUTE-REFRESH subtypes (RFC 7313 §3.2). */
export const refreshSubtype = { request: 0, begin: 1, end: 2 } as const;

/** Registry "BGP Error (Notification) Codes". */
export const errorCode = {
  messageHeader: 1,
  openMessage: 2,
  updateMessage: 3,
  holdTimerExpired: 4,
  finiteStateMachine: 5,
  cease: 6,
  routeRefresh: 7,
  sendHoldTimerExpired: 8,
} as const;

export const headerSubcode = { notSynchronized: 1, badLength: 2, badType: 3 } as const;

export const openSubcode = {
  unsupportedVersion: 1,
  badPeerAs: 2,
  badBgpIdentifier: 3,
  unsupportedOptionalParameter: 4,
  unacceptableHoldTime: 6,
  unsupportedCapability: 7,
  roleMismatch: 11,
} as const;

export const updateSubcode = {
  malformedAttributeList: 1,
  unrecognizedWellKnown: 2,
  missingWellKnown: 3,
  attributeFlags: 4,
  attributeLength: 5,
  invalidOrigin: 6,
  invalidNextHop: 8,
  optionalAttribute: 9,
  invalidNetworkField: 10,
  malformedAsPath: 11,
} as const;

/** RFC 6608. */
export const fsmSubcode = { unspecified: 0, openSent: 1, openConfirm: 2, established: 3 } as const;

/** RFC 4486, 8538, 9384. */
export const ceaseSubcode = {
  maximumPrefixes: 1,
  administrativeShutdown: 2,
  peerDeconfigured: 3,
  administrativeReset: 4,
  connectionRejected: 5,
  otherConfigurationChange: 6,
  collisionResolution: 7,
  outOfResources: 8,
  hardReset: 9,
  bfdDown: 10,
} as const;

/** RFC 7313 §5. */
export const refreshErrorSubcode = { invalidLength: 1 } as const;
