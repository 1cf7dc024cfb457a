/**
 * The generation of a network namespace's packet rules (nfnetlink, linux/netfilter/nf_tables.h): a number the kernel raises with
 * every transaction. Asking for it is the cheapest way to learn that nothing happened.
 *
 *   nfgenmsg:  | family 1 | version 1 | resource 2 |  then NFTA_GEN_* attributes, in network order
 */
import { failed, ok, type Outcome, type WorldFault, worldFault } from "#base/fault.ts";
import { decoding, eachAttribute, fixed, messageType, type NetlinkWriter, readAcknowledgement, readDatagram } from "./netlink.ts";

/** NFNL_SUBSYS_NFTABLES and NFT_MSG_*. */
const subsystem = 10 << 8;
const message = { newGeneration: subsystem | 15, getGeneration: subsystem | 16 } as const;
const headerLength = 4;
const attributeId = 1;

export function encodeGetGeneration(into: NetlinkWriter, sequence: number): void {
  into.begin(message.getGeneration, 0, sequence).u32(0).end();
}

/** The number out of the answer with `sequence`; undefined: this datagram holds no such answer. A refusal is a fault with its errno. */
export function decodeGeneration(bytes: Uint8Array, sequence: number): Outcome<number | undefined, WorldFault & { readonly errno?: number }> {
  const messages = readDatagram(bytes);
  if (!messages.ok) return messages;
  const answer = messages.value.find((each) => each.sequence === sequence);
  if (answer?.type === messageType.error) {
    const refusal = readAcknowledgement(bytes, answer);
    return refusal.ok ? failed({ ...worldFault("filter.refused", refusal.value.text), errno: refusal.value.errno }) : refusal;
  }
  if (answer?.type !== message.newGeneration) return ok(undefined);
  return decoding("generation", () => {
    let generation: number | undefined;
    eachAttribute(bytes, answer.start + headerLength, answer.end, (type, at, size) => {
      if (type === attributeId) generation = new DataView(bytes.buffer, bytes.byteOffset + fixed(at, size, 4)).getUint32(0);
    });
    return generation;
  });
}
