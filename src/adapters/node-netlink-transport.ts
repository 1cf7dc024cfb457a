/**
 * The second transport: npm netlink's raw socket, for machines where koffi cannot load, and a peer for our own in the tests.
 * An exception that reaches its native code, or an error event nobody hears, ends the process: every handler is guarded.
 * It cannot ask for extended acknowledgement or strict dumps, and must not listen to events (an overrun aborts it).
 */
import { RawNetlinkSocket } from "node-netlink";
import { FaultError, worldFault } from "#base/fault.ts";
import type { NetlinkTransport } from "./netlink-transport.ts";

const routeNetlink = 0; // NETLINK_ROUTE
const limits = { bufferOctets: 4 << 20, silenceMillis: 5000 } as const;

interface Waiting {
  readonly take: (reply: Uint8Array) => boolean;
  readonly done: () => void;
  readonly fail: (fault: FaultError) => void;
}

export class NodeNetlinkTransport implements NetlinkTransport {
  readonly name = "node-netlink";
  readonly hasEvents = false;
  readonly #socket = new RawNetlinkSocket(routeNetlink, { recvBufferSize: limits.bufferOctets, sendBufferSize: limits.bufferOctets });
  #waiting: Waiting | undefined;

  constructor() {
    this.#socket.on("message", (bytes) => this.#received(bytes));
    this.#socket.on("truncatedMessage", () => this.#failed("a reply was cut short"));
    this.#socket.on("error", (error) => this.#failed(error.code));
  }

  get portId(): number {
    return this.#socket.address().port;
  }

  exchange(datagram: Uint8Array, take: (reply: Uint8Array) => boolean): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      const silence = setTimeout(() => this.#failed(`no answer within ${limits.silenceMillis} ms`), limits.silenceMillis);
      const end = (): void => {
        clearTimeout(silence);
        this.#waiting = undefined;
      };
      this.#waiting = { take, done: () => (end(), resolve()), fail: (fault) => (end(), reject(fault)) };
      // The datagram is the caller's and is written again before the socket has taken it: hence the copy.
      this.#socket.send(Uint8Array.from(datagram), {}, (error) => error && this.#failed(error.code));
    });
  }

  close(): void {
    this.#socket.close();
  }

  #received(bytes: Uint8Array): void {
    const waiting = this.#waiting;
    if (waiting === undefined) return;
    try {
      if (waiting.take(bytes)) waiting.done();
    } catch (cause) {
      waiting.fail(cause instanceof FaultError ? cause : new FaultError(worldFault("kernel.netlink", `npm netlink: ${String(cause)}`), cause));
    }
  }

  #failed(reason: string): void {
    this.#waiting?.fail(new FaultError(worldFault("kernel.netlink", `npm netlink: ${reason}`)));
  }
}
