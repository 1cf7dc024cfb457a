/**
 * UDP for BFD (RFC 5881 §4, RFC 5883 §5), which Node's own sockets cannot do: the TTL a datagram arrived with. One socket per
 * family and kind listens, one per session sends, each from a port of its own. Synchronous and non-blocking: for a thread
 * that does nothing else.
 */
import { type Fault, FaultError, worldFault } from "#base/fault.ts";
import { type Family, familyOf, type Ip } from "#base/ip.ts";
import { addressOf, lastErrno, libc, SystemFault, watchReadable } from "./libc.ts";
import {
  addressSize,
  arrivalTtl,
  bindTo,
  ipOfSocketAddress,
  openUdp,
  setTellTtl,
  setTrafficClass,
  setTtl,
  setV6Only,
  socketAddress,
} from "./socket-options.ts";

const ports = { single: 3784, multihop: 4784 } as const;
/** RFC 5881 §4: where our packets come from. */
const sourcePorts = { first: 49_152, count: 16_384 } as const;
/** RFC 5881 §5: all our packets leave with it, so that the peer can tell how far they came. */
const ttl = 255;
/** CS6: routing must not wait behind what it routes. */
const networkControl = 0xc0;
/** Datagrams taken in one go; what is left is readable still. */
const datagramsPerTurn = 512;
/** A control packet has at most 255 octets by its own length; the rest of a longer datagram is not looked at. */
const datagramOctets = 512;
const any: Record<Family, Ip> = { 4: "0.0.0.0" as Ip, 6: "::" as Ip };

export interface Arrived {
  /** Valid during the call. */
  readonly bytes: Uint8Array;
  readonly remote: Ip;
  readonly ttl: number;
}

/** Hears control packets of one family and kind on every address. */
export class BfdListener {
  readonly #fd: number;
  readonly #family: Family;
  readonly #data = new Uint8Array(datagramOctets);
  readonly #name = new Uint8Array(addressSize[6]);
  readonly #control = new Uint8Array(128);
  readonly #controlView = new DataView(this.#control.buffer);
  /** struct iovec and struct msghdr (64-bit Linux): pointers and sizes, eight octets each. */
  readonly #vector = new BigUint64Array([addressOf(this.#data), BigInt(datagramOctets)]);
  readonly #header = new BigUint64Array(7);
  #watch: { close(): void } | undefined;

  /** Throws a FaultError if the port cannot be had. */
  constructor(family: Family, multihop: boolean) {
    const port = multihop ? ports.multihop : ports.single;
    this.#family = family;
    this.#fd = making(family, `listen for BFD on UDP port ${port}`, (fd) => {
      if (family === 6) setV6Only(fd);
      setTellTtl(fd, family);
      bindTo(fd, any[family], port);
    });
  }

  /** Calls `ready` when something has come. */
  watch(ready: () => void): void {
    this.#watch = watchReadable(this.#fd, ready);
  }

  /** Hands over what has come; the rest of a flood waits for the next call. */
  drain(take: (arrived: Arrived) => void): void {
    for (let count = 0; count < datagramsPerTurn; count++) {
      const size = this.#receive();
      if (size < 0) return;
      const arrived = arrivalTtl(this.#controlView, Number(this.#header[5]!), this.#family);
      take({ bytes: this.#data.subarray(0, size), remote: ipOfSocketAddress(this.#name, this.#family), ttl: arrived ?? 0 });
    }
  }

  close(): void {
    this.#watch?.close();
    libc.close(this.#fd);
  }

  /** Octets of the next datagram, or -1 if there is none. */
  #receive(): number {
    const header = this.#header;
    header[0] = addressOf(this.#name);
    header[1] = BigInt(this.#name.length);
    header[2] = addressOf(this.#vector);
    header[3] = 1n;
    header[4] = addressOf(this.#control);
    header[5] = BigInt(this.#control.length);
    header[6] = 0n;
    return Number(libc.recvmsg(this.#fd, header, 0));
  }
}

/** Sends the control packets of one session. */
export class BfdSender {
  readonly #fd: number;
  readonly #to: Uint8Array;

  /** `chance` in [0, 1) picks the source port. Throws a FaultError if the source address is not there. */
  constructor(remote: Ip, source: Ip | undefined, multihop: boolean, chance: number) {
    const family = familyOf(remote);
    this.#to = socketAddress(remote, multihop ? ports.multihop : ports.single);
    this.#fd = making(family, `send BFD packets to ${remote}`, (fd) => {
      if (family === 6) setV6Only(fd);
      setTtl(fd, family, ttl);
      setTrafficClass(fd, family, networkControl);
      bindToFreePort(fd, source ?? any[family], Math.floor(chance * sourcePorts.count));
    });
  }

  /** Why it could not be sent, or undefined. A full queue is no reason: the next packet comes soon. */
  send(bytes: Uint8Array): string | undefined {
    if (libc.sendto(this.#fd, bytes, bytes.length, 0, this.#to, this.#to.length) >= 0) return undefined;
    const code = lastErrno();
    return code === "EAGAIN" || code === "ENOBUFS" ? undefined : (sendFaults[code] ?? `sending failed with ${code}`);
  }

  close(): void {
    libc.close(this.#fd);
  }
}

const sendFaults: Readonly<Record<string, string>> = {
  ENETUNREACH: "there is no route to it",
  EHOSTUNREACH: "it does not answer on its link",
  ENETDOWN: "the device is down",
  EPERM: "a firewall of this machine refuses them",
  EADDRNOTAVAIL: "the source address is gone",
  EINVAL: "the source address is gone",
};

/** RFC 5881 §4: a port of the dynamic range that no other session has. */
function bindToFreePort(fd: number, source: Ip, first: number): void {
  for (let i = 0; ; i++) {
    try {
      return bindTo(fd, source, sourcePorts.first + ((first + i) % sourcePorts.count));
    } catch (error) {
      if (!(error instanceof SystemFault) || error.code !== "EADDRINUSE" || i >= sourcePorts.count - 1) throw error;
    }
  }
}

/** Opens a socket and sets it up; closes it again if that fails. `purpose` is for the sentence. */
function making(family: Family, purpose: string, setUp: (fd: number) => void): number {
  let fd = -1;
  try {
    fd = openUdp(family);
    setUp(fd);
    return fd;
  } catch (error) {
    if (fd >= 0) libc.close(fd);
    throw error instanceof SystemFault ? new FaultError(faultOf(purpose, error), error) : error;
  }
}

function faultOf(purpose: string, { call, code }: SystemFault): Fault {
  const cannot = `cannot ${purpose}: `;
  if (code === "EADDRINUSE") return worldFault("bfd.port-taken", `${cannot}another program has the port; stop its BFD, or leave \`bfd\` out here.`);
  if (code === "EADDRNOTAVAIL") return worldFault("bfd.no-address", `${cannot}this machine does not have the source address.`);
  if (code === "EAFNOSUPPORT") return worldFault("bfd.no-family", `${cannot}this kernel has no such address family.`);
  if (code === "EMFILE" || code === "ENFILE") return worldFault("bfd.no-descriptor", `${cannot}no file descriptor is left; raise LimitNOFILE.`);
  return worldFault("bfd.failed", `${cannot}${call} failed with ${code}.`);
}
