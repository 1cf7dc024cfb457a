/**
 * One rtnetlink socket as the Kernel adapter needs it, and the choice between two: our own through koffi (fast, extended
 * acknowledgement, strict dumps, events), or npm netlink's raw socket where koffi has no library for the machine.
 */
import { FaultError, worldFault } from "#base/fault.ts";

export interface NetlinkTransport {
  /** For the log: which of the two this is. */
  readonly name: string;
  /** Port id of the socket: changes it made carry it in their notifications. */
  readonly portId: number;
  /** True if `netlink-events.ts` can listen on a worker of its own. */
  readonly hasEvents: boolean;
  /**
   * Sends one datagram (of one or more messages) and hands over every datagram that comes back until `take` returns true.
   * A datagram is valid only during the call. One exchange at a time. Rejects with a FaultError (`kernel.*`).
   */
  exchange(datagram: Uint8Array, take: (reply: Uint8Array) => boolean): Promise<void>;
  close(): void;
}

/** Opens a socket in the network namespace of the calling thread, where it stays. */
export async function openNetlink(): Promise<NetlinkTransport> {
  const first = await attempt(async () => new (await import("./netlink-socket.ts")).KoffiTransport());
  if (!(first instanceof Error)) return first;
  const second = await attempt(async () => new (await import("./node-netlink-transport.ts")).NodeNetlinkTransport());
  if (!(second instanceof Error)) return second;
  const text = `no netlink socket can be opened: ${first.message}; and with npm netlink: ${second.message}; run as root on Linux, x64 or arm64.`;
  throw new FaultError(worldFault("kernel.no-netlink", text), first);
}

async function attempt<T>(open: () => Promise<T>): Promise<T | Error> {
  try {
    return await open();
  } catch (cause) {
    return cause instanceof Error ? cause : new Error(String(cause));
  }
}
