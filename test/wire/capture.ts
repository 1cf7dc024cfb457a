/**
 * Captures of packets (pcap and pcapng) → the octets of each TCP direction in order: only as much of either format as a test needs.
 * Packets over Ethernet (with VLAN tags, and as Juniper captures it), raw IP, the loopback of BSD and Linux "cooked" captures.
 */
export interface Stream {
  /** `10.0.0.1:179 > 10.0.0.2:40000`. */
  readonly name: string;
  readonly bytes: Uint8Array;
}

interface Frame {
  readonly linkType: number;
  readonly bytes: Uint8Array;
}

/** TCP payloads by direction, in the order they were captured, repetitions left out. */
export function tcpStreams(file: Uint8Array): Stream[] {
  const parts = new Map<string, { readonly seen: Set<string>; readonly octets: number[] }>();
  for (const packet of packets(file)) {
    if (packet.protocol !== 6) continue;
    const { payload: segment } = packet,
      data = segment.subarray((segment[12]! >> 4) * 4);
    const name = `${packet.source}:${u16(segment, 0)} > ${packet.target}:${u16(segment, 2)}`,
      known = parts.get(name) ?? { seen: new Set(), octets: [] },
      key = `${u32(segment, 4)} ${Buffer.from(data).toString("hex")}`;
    if (data.length === 0 || known.seen.has(key)) continue;
    parts.set(name, known);
    known.seen.add(key);
    known.octets.push(...data);
  }
  return [...parts].map(([name, { octets }]) => ({ name, bytes: Uint8Array.from(octets) }));
}

interface Packet {
  readonly protocol: number;
  readonly source: string;
  readonly target: string;
  readonly payload: Uint8Array;
}

function packets(file: Uint8Array): Packet[] {
  return frames(file).flatMap((frame) => {
    const ip = network(frame);
    const packet = ip && (ip[0]! >> 4 === 4 ? ipv4(ip) : ipv6(ip));
    return packet ? [packet] : [];
  });
}

/** The IP packet in a frame; undefined if it holds something else. */
function network({ linkType, bytes }: Frame): Uint8Array | undefined {
  if (linkType === 0) return bytes.subarray(4);
  if (linkType === 101 || linkType === 12 || linkType === 228 || linkType === 229) return bytes;
  if (linkType === 113) return bytes.subarray(16);
  if (linkType !== 1 && linkType !== 178) return undefined;
  // Juniper's has a magic number, flags and extensions in front
  let at = 12 + (linkType === 178 ? 6 + u16(bytes, 4) : 0);
  while (u16(bytes, at) === 0x8100 || u16(bytes, at) === 0x88a8) at += 4;
  const type = u16(bytes, at);
  return type === 0x0800 || type === 0x86dd ? bytes.subarray(at + 2) : undefined;
}

function ipv4(bytes: Uint8Array): Packet {
  const address = (at: number): string => bytes.subarray(at, at + 4).join(".");
  return { protocol: bytes[9]!, source: address(12), target: address(16), payload: bytes.subarray((bytes[0]! & 15) * 4, u16(bytes, 2)) };
}

function ipv6(bytes: Uint8Array): Packet {
  const address = (at: number): string => Buffer.from(bytes.subarray(at, at + 16)).toString("hex");
  return { protocol: bytes[6]!, source: address(8), target: address(24), payload: bytes.subarray(40, 40 + u16(bytes, 4)) };
}

function frames(file: Uint8Array): Frame[] {
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  return view.getUint32(0) === 0x0a0d0d0a ? pcapngFrames(file, view) : pcapFrames(file, view);
}

function pcapFrames(file: Uint8Array, view: DataView): Frame[] {
  const magic = view.getUint32(0, true),
    little = magic === 0xa1b2c3d4 || magic === 0xa1b23c4d,
    linkType = view.getUint32(20, little) & 0xffff;
  const out: Frame[] = [];
  for (let at = 24; at + 16 <= file.length;) {
    const size = view.getUint32(at + 8, little);
    out.push({ linkType, bytes: file.subarray(at + 16, at + 16 + size) });
    at += 16 + size;
  }
  return out;
}

/** Section headers, interface descriptions and enhanced packet blocks; other blocks are passed over. */
function pcapngFrames(file: Uint8Array, view: DataView): Frame[] {
  const out: Frame[] = [];
  let little = true,
    linkTypes: number[] = [];
  for (let at = 0; at + 12 <= file.length;) {
    if (view.getUint32(at) === 0x0a0d0d0a) {
      little = view.getUint32(at + 8, true) === 0x1a2b3c4d;
      linkTypes = [];
    }
    const type = view.getUint32(at, little),
      length = view.getUint32(at + 4, little);
    if (type === 1) linkTypes.push(view.getUint16(at + 8, little));
    if (type === 6) {
      const size = view.getUint32(at + 20, little);
      out.push({ linkType: linkTypes[view.getUint32(at + 8, little)]!, bytes: file.subarray(at + 28, at + 28 + size) });
    }
    at += length;
  }
  return out;
}

const u16 = (b: Uint8Array, at: number): number => (b[at]! << 8) | b[at + 1]!;
const u32 = (b: Uint8Array, at: number): number => u16(b, at) * 0x1_0000 + u16(b, at + 2);
