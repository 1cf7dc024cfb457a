import { type Mac, printMac } from "#base/ip.ts";

/**
 * The MAC of a node's tunnel endpoint: the same at every start, on every machine, for one node name and VNI, so that a device
 * made anew needs no word to the others. Locally administered, unicast (IEEE 802). 46 bits of hash: with 1000 nodes two meet
 * once in 10^8 clusters; planners refuse the younger of two (vxlan.ts).
 */
export function vtepMac(node: string, vni: number): Mac {
  const text = `${vni}/${node}`;
  const high = hash(text, 0x811c9dc5),
    low = hash(text, 0x9747b28c);
  const octets = Uint8Array.of(high >>> 8, high, low >>> 24, low >>> 16, low >>> 8, low);
  octets[0] = (octets[0]! & 0xfc) | 0x02;
  return printMac(octets);
}

export const vxlanDevice = (vni: number): string => `pw-vx${vni}`;

/** FNV-1a over UTF-16 code units, then murmur3's finalizer: neighbouring names end far apart. */
function hash(text: string, seed: number): number {
  let h = seed;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
