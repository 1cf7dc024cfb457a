/**
 * Queueing of what leaves a device (RTM_NEWQDISC; linux/pkt_sched.h): a token bucket as its root.
 *
 *   tcmsg:         | family 1 | pad 3 | index 4 | handle 4 | parent 4 | info 4 |  then TCA_* attributes
 *   tc_tbf_qopt:   | rate 12 | peak rate 12 | limit 4 | buffer 4 | mtu 4 |
 *   tc_ratespec:   | cell log 1 | link layer 1 | overhead 2 | cell align 2 | mpu 2 | rate 4 |
 */
import { messageFlag, type NetlinkWriter } from "./netlink.ts";
import { rtm } from "./rtnetlink.ts";

const tca = { kind: 1, options: 2 } as const;
const tbf = { parameters: 1, rate64: 4, burst: 6 } as const;
const root = 0xffff_ffff;
/** "tbf" and the terminating zero that libmnl's users write; the kernel takes either. */
const tbfKind = Uint8Array.of(0x74, 0x62, 0x66, 0);
/** TC_LINKLAYER_ETHERNET: the kernel computes, and wants no table of times. */
const ethernet = 1;
const rateMost = 0xffff_ffff;

export interface TokenBucket {
  readonly octetsPerSecond: number;
  /** Octets that may leave at once. */
  readonly burst: number;
  /** Octets that may wait; what comes beyond is dropped. */
  readonly limit: number;
}

/** Sets the root of a device, whatever was there. Rates above 2^32 octets per second stand in an attribute of their own. */
export function encodeNewTokenBucket(into: NetlinkWriter, sequence: number, index: number, { octetsPerSecond, burst, limit }: TokenBucket): void {
  into
    .begin(rtm.newQdisc, messageFlag.create | messageFlag.replace, sequence)
    .u32(0)
    .u32(index)
    .u32(0)
    .u32(root)
    .u32(0);
  into.attribute(tca.kind, tbfKind);
  const options = into.nest(tca.options);
  into.attribute(tbf.parameters, parameters(Math.min(octetsPerSecond, rateMost), Math.min(limit, rateMost)));
  into.attribute32(tbf.burst, burst);
  if (octetsPerSecond > rateMost) into.attribute(tbf.rate64, octets64(octetsPerSecond));
  into.close(options);
  into.end();
}

function parameters(rate: number, limit: number): Uint8Array {
  const octets = new Uint8Array(36),
    view = new DataView(octets.buffer);
  octets[1] = ethernet;
  view.setUint32(8, rate, true);
  view.setUint32(24, limit, true);
  return octets;
}

function octets64(value: number): Uint8Array {
  const octets = new Uint8Array(8);
  new DataView(octets.buffer).setBigUint64(0, BigInt(value), true);
  return octets;
}
