/**
 * AF_NETLINK through koffi. The kernel answers a request within `send`, so receiving never waits and is called synchronously;
 * only the time between datagrams is given back to the event loop (measured: about twice the rate of one poll per answer).
 */
import { endianness } from "node:os";
import { getSystemErrorName } from "node:util";
import { setImmediate as breathe } from "node:timers/promises";
import koffi from "koffi";
import { FaultError, worldFault } from "#base/fault.ts";
import type { NetlinkTransport } from "./netlink-transport.ts";

const family = 16; // AF_NETLINK
const rawCloseOnExec = 3 | 0o2000000;
const solSocket = 1;
const solNetlink = 270;
const option = {
  sendBuffer: 7,
  receiveBuffer: 8,
  receiveTimeout: 20,
  sendBufferForce: 32,
  receiveBufferForce: 33,
  capAck: 10,
  extendedAck: 11,
  strictCheck: 12,
} as const;
const dontWait = 0x40;
/** MSG_TRUNC: the true length is returned, so a datagram larger than the buffer is noticed. */
const trueLength = 0x20;
const errno = { again: 11, interrupted: 4, noBuffer: 105 } as const;

const limits = { bufferOctets: 8 << 20, datagramOctets: 1 << 20, sliceMillis: 2, silenceMillis: 5000 } as const;

const libc = koffi.load("libc.so.6");
const call = {
  socket: libc.func("int socket(int, int, int)") as (domain: number, type: number, protocol: number) => number,
  bind: libc.func("int bind(int, void *, uint32_t)") as (fd: number, address: Uint8Array, length: number) => number,
  getsockname: libc.func("int getsockname(int, void *, void *)") as (fd: number, address: Uint8Array, length: Uint8Array) => number,
  setsockopt: libc.func("int setsockopt(int, int, int, void *, uint32_t)") as (
    fd: number,
    level: number,
    name: number,
    value: Uint8Array,
    length: number,
  ) => number,
  send: libc.func("long send(int, void *, size_t, int)") as (fd: number, bytes: Uint8Array, length: number, flags: number) => number | bigint,
  recv: libc.func("long recv(int, void *, size_t, int)") as (fd: number, bytes: Uint8Array, length: number, flags: number) => number | bigint,
  close: libc.func("int close(int)") as (fd: number) => number,
};

export type Received = Uint8Array | "nothing" | "overrun";

/** One socket; every call is synchronous. */
export class NetlinkSocket {
  #fd: number;
  readonly #buffer: Uint8Array;
  readonly portId: number;

  /**
   * `groups`: mask of multicast groups (bit RTNLGRP_x − 1). `waitMillis`: how long `receive(true)` waits. `octets`: of the largest answer.
   * `protocol`: NETLINK_*.
   */
  constructor(groups: number, waitMillis: number, octets: number = limits.datagramOctets, protocol = 0) {
    this.#buffer = new Uint8Array(octets);
    if (endianness() !== "LE") throw new FaultError(worldFault("kernel.no-netlink", "this machine is big-endian, which the netlink codec does not speak."));
    this.#fd = call.socket(family, rawCloseOnExec, protocol);
    if (this.#fd < 0) throw this.#fault("socket");
    this.#setBuffers();
    // Older kernels lack some of these: whatever comes back is checked anyway.
    for (const name of [option.capAck, option.extendedAck, option.strictCheck]) this.#set(solNetlink, name, int32(1));
    this.#set(solSocket, option.receiveTimeout, timeval(waitMillis));
    const address = new Uint8Array(12),
      view = new DataView(address.buffer);
    view.setUint16(0, family, true);
    view.setUint32(8, groups, true);
    if (call.bind(this.#fd, address, address.length) < 0) throw this.#fault("bind");
    call.getsockname(this.#fd, address, int32(address.length));
    this.portId = view.getUint32(4, true);
  }

  send(datagram: Uint8Array): void {
    while (Number(call.send(this.#fd, datagram, datagram.length, 0)) < 0) {
      if (koffi.errno() !== errno.interrupted) throw this.#fault("send");
    }
  }

  /** The next datagram (valid until the next call), `nothing` if none came in time, `overrun` if the kernel dropped some. */
  receive(wait: boolean): Received {
    const length = Number(call.recv(this.#fd, this.#buffer, this.#buffer.length, wait ? trueLength : trueLength | dontWait));
    if (length > this.#buffer.length) throw new FaultError(worldFault("kernel.malformed", `a netlink datagram of ${length} octets`));
    if (length >= 0) return this.#buffer.subarray(0, length);
    const code = koffi.errno();
    if (code === errno.again || code === errno.interrupted) return "nothing";
    if (code === errno.noBuffer) return "overrun";
    throw this.#fault("recv");
  }

  /** Afterwards every call fails: the number of the closed socket may soon be somebody else's. */
  close(): void {
    if (this.#fd >= 0) call.close(this.#fd);
    this.#fd = -1;
  }

  /** Beyond net.core.rmem_max with CAP_NET_ADMIN, as far as it allows without. */
  #setBuffers(): void {
    const size = int32(limits.bufferOctets);
    if (this.#set(solSocket, option.receiveBufferForce, size) < 0) this.#set(solSocket, option.receiveBuffer, size);
    if (this.#set(solSocket, option.sendBufferForce, size) < 0) this.#set(solSocket, option.sendBuffer, size);
  }
  #set(level: number, name: number, value: Uint8Array): number {
    return call.setsockopt(this.#fd, level, name, value, value.length);
  }
  #fault(what: string): FaultError {
    const code = koffi.errno();
    return new FaultError(worldFault("kernel.netlink", `netlink ${what}: ${getSystemErrorName(-code)}`));
  }
}

export class KoffiTransport implements NetlinkTransport {
  readonly name = "koffi";
  readonly hasEvents = true;
  readonly #socket: NetlinkSocket;
  #breathed = performance.now();

  /** `octets`: of the largest answer; a dump needs more than a query. `protocol`: NETLINK_*, of which 0 is the routing tables. */
  constructor(octets: number = limits.datagramOctets, protocol = 0) {
    this.#socket = new NetlinkSocket(0, limits.silenceMillis, octets, protocol);
  }

  get portId(): number {
    return this.#socket.portId;
  }

  async exchange(datagram: Uint8Array, take: (reply: Uint8Array) => boolean): Promise<void> {
    if (performance.now() - this.#breathed > limits.sliceMillis) await this.#breathe();
    this.#socket.send(datagram);
    for (;;) {
      const reply = this.#socket.receive(true);
      if (reply === "overrun") throw new FaultError(worldFault("kernel.no-buffer", "the kernel dropped netlink replies: the socket's buffer was full."));
      if (reply === "nothing")
        throw new FaultError(worldFault("kernel.silent", `the kernel did not answer a netlink request within ${limits.silenceMillis} ms.`));
      if (take(reply)) return;
      if (performance.now() - this.#breathed > limits.sliceMillis) await this.#breathe();
    }
  }

  close(): void {
    this.#socket.close();
  }

  async #breathe(): Promise<void> {
    await breathe();
    this.#breathed = performance.now();
  }
}

function int32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setInt32(0, value, true);
  return bytes;
}

/** struct timeval of a 64-bit Linux. */
function timeval(milliseconds: number): Uint8Array {
  const bytes = new Uint8Array(16),
    view = new DataView(bytes.buffer);
  view.setBigInt64(0, BigInt(Math.floor(milliseconds / 1000)), true);
  view.setBigInt64(8, BigInt((milliseconds % 1000) * 1000), true);
  return bytes;
}
