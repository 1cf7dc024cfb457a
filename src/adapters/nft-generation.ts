/** A netlink socket that asks one question: which generation the packet rules are of. The kernel answers within the send. */
import { FaultError, worldFault } from "#base/fault.ts";
import { NetlinkWriter } from "#wire/netlink.ts";
import { decodeGeneration, encodeGetGeneration } from "#wire/nft-generation.ts";
import { checked, libc, SystemFault } from "./libc.ts";
import { notPermitted } from "./nft-engine.ts";

const netlink = 16; // AF_NETLINK
const netfilter = 12; // NETLINK_NETFILTER
const rawWithoutWaiting = 3 | 0o2000000 | 0o4000; // SOCK_RAW, SOCK_CLOEXEC, SOCK_NONBLOCK
const notPermittedErrno = 1;

export class NftGeneration {
  #fd: number;
  readonly #writer = new NetlinkWriter();
  readonly #answer = new Uint8Array(4096);
  /** struct sockaddr_nl of the kernel. */
  readonly #kernel = new Uint8Array(12);
  #sequence = 0;

  /** Opens the socket in the network namespace of the calling thread, where it stays. */
  constructor() {
    new DataView(this.#kernel.buffer).setUint16(0, netlink, true);
    this.#fd = this.#ask(() => checked(libc.socket(netlink, rawWithoutWaiting, netfilter), "socket"));
  }

  read(): number {
    this.#sequence = (this.#sequence + 1) & 0x7fff_ffff;
    this.#writer.reset();
    encodeGetGeneration(this.#writer, this.#sequence);
    const request = this.#writer.written;
    this.#ask(() => checked(libc.sendto(this.#fd, request, request.length, 0, this.#kernel, this.#kernel.length), "sendto"));
    for (;;) {
      const length = this.#ask(() => checked(Number(libc.recv(this.#fd, this.#answer, this.#answer.length, 0)), "recv"));
      const generation = decodeGeneration(this.#answer.subarray(0, length), this.#sequence);
      if (!generation.ok) throw new FaultError(generation.fault.errno === notPermittedErrno ? notPermitted : generation.fault);
      if (generation.value !== undefined) return generation.value;
    }
  }

  /** Afterwards every call fails. */
  close(): void {
    if (this.#fd >= 0) libc.close(this.#fd);
    this.#fd = -1;
  }

  #ask<T>(call: () => T): T {
    try {
      return call();
    } catch (cause) {
      if (cause instanceof SystemFault)
        throw new FaultError(worldFault("filter.refused", `packet rules cannot be asked for: ${cause.message}; has the kernel nf_tables?`), cause);
      throw cause;
    }
  }
}
