/**
 * Forgets tracked connections of addresses that moved: an entry outlives the move and holds the way, the NAT and the state of the place the
 * address had, so that answers go astray until it times out (five days for TCP). New packets make new entries.
 */
import { getSystemErrorMessage } from "node:util";
import { FaultError, worldFault } from "#base/fault.ts";
import { type Family, familyOf, type Ip } from "#base/ip.ts";
import { decodeConnection, encodeDeleteConnection, encodeGetConnections, type TrackedConnection } from "#wire/ctnetlink.ts";
import { NetlinkRequests } from "./netlink-requests.ts";
import { KoffiTransport } from "./netlink-socket.ts";

const netfilter = 12; // NETLINK_NETFILTER
const noEntry = 2; // ENOENT: it ended by itself meanwhile

/**
 * Removes every tracked connection that has one of `addresses` at either end, in either direction, in the network namespace of the calling
 * thread. Returns how many. Rejects with a FaultError (`kernel.*`): no CAP_NET_ADMIN, or a kernel without connection tracking over netlink.
 */
export async function flushConntrack(addresses: Iterable<Ip>): Promise<number> {
  const wanted = new Set(addresses);
  if (wanted.size === 0) return 0;
  const transport = new KoffiTransport(undefined, netfilter);
  try {
    const requests = new NetlinkRequests(transport);
    let flushed = 0;
    for (const family of new Set(Array.from(wanted, familyOf))) flushed += await flushFamily(requests, family, wanted);
    return flushed;
  } finally {
    transport.close();
  }
}

async function flushFamily(requests: NetlinkRequests, family: Family, wanted: ReadonlySet<Ip>): Promise<number> {
  const found = await requests.dump<TrackedConnection>(
    (into, sequence) => encodeGetConnections(into, sequence, family),
    (bytes, message) => {
      const connection = decodeConnection(bytes, message, family);
      if (!connection.ok) throw new FaultError(connection.fault);
      return connection.value.addresses.some((address) => wanted.has(address)) ? connection.value : undefined;
    },
  );
  const refused = await requests.batch(found.map((connection) => (into, sequence) => encodeDeleteConnection(into, sequence, connection)));
  const failure = refused.find(({ reason }) => reason.errno !== noEntry);
  if (failure !== undefined) {
    const { text, errno } = failure.reason;
    throw new FaultError(worldFault("kernel.conntrack", `a tracked connection cannot be removed: ${text || getSystemErrorMessage(-errno)}`));
  }
  return found.length - refused.length;
}
