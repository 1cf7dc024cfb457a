/**
 * Netlink (RFC 3549, linux/netlink.h): messages of a datagram, attributes, errors with extended acknowledgement.
 *
 *    0               4       6       8               12              16
 *   | length (all)  | type  | flags | sequence      | port id       | body, padded to 4 | next message …
 *   attribute:  | length (2) | type (2) | value, padded to 4 |
 *
 * Host byte order: little-endian on every machine we run on (netlink-socket.ts refuses others). Lengths count headers and not
 * padding. `Truncated` flies inside this room only; `readDatagram` and the decoders of rtnetlink-*.ts catch it.
 */
import { Truncated } from "#base/bytes.ts";
import { failed, ok, type Outcome, type WorldFault, worldFault } from "#base/fault.ts";

export const messageHeaderLength = 16;

export const messageType = { error: 2, done: 3, overrun: 4 } as const;

export const messageFlag = {
  request: 0x1,
  multi: 0x2,
  ack: 0x4,
  /** NLM_F_DUMP_INTR: the table changed while it was dumped; the dump is worth nothing. */
  interrupted: 0x10,
  /** NLM_F_CAPPED: the request is not repeated in the error. */
  capped: 0x100,
  /** NLM_F_ACK_TLVS: attributes follow the error. */
  attributes: 0x200,
  dump: 0x300,
  replace: 0x100,
  exclusive: 0x200,
  create: 0x400,
} as const;

const attributeTypeMask = 0x3fff;
const acknowledgementText = 1;

export interface NetlinkMessage {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly portId: number;
  /** Body: bytes[start, end) of the datagram, shared memory. */
  readonly start: number;
  readonly end: number;
}

/** NLMSG_ERROR and NLMSG_DONE: `errno` 0 is an acknowledgement; `text` is the kernel's own sentence, empty if it gave none. */
export interface Acknowledgement {
  readonly errno: number;
  readonly text: string;
}

const align = (size: number): number => (size + 3) & ~3;

/** The messages of one datagram, in order; a fault if a length leads outside of it. */
export function readDatagram(bytes: Uint8Array): Outcome<readonly NetlinkMessage[], WorldFault> {
  const messages: NetlinkMessage[] = [];
  for (let at = 0; at < bytes.length;) {
    const left = bytes.length - at;
    const length = left < messageHeaderLength ? 0 : u32(bytes, at);
    if (length < messageHeaderLength || length > left)
      return failed(worldFault("kernel.malformed", `a netlink message of ${length} octets where ${left} are left`));
    messages.push({
      type: u16(bytes, at + 4),
      flags: u16(bytes, at + 6),
      sequence: u32(bytes, at + 8),
      portId: u32(bytes, at + 12),
      start: at + messageHeaderLength,
      end: at + length,
    });
    at += align(length);
  }
  return ok(messages);
}

/** Reads the body of an NLMSG_ERROR or NLMSG_DONE message. */
export function readAcknowledgement(bytes: Uint8Array, message: NetlinkMessage): Outcome<Acknowledgement, WorldFault> {
  return decoding("acknowledgement", () => {
    if (message.end - message.start < 4) throw new Truncated(4, message.end - message.start);
    const errno = -i32(bytes, message.start);
    let text = "",
      at = message.start + 4;
    if (message.type === messageType.error) {
      if (message.end - at < messageHeaderLength) throw new Truncated(messageHeaderLength, message.end - at);
      at += message.flags & messageFlag.capped || errno === 0 ? messageHeaderLength : align(u32(bytes, at));
    }
    if ((message.flags & messageFlag.attributes) !== 0) {
      eachAttribute(bytes, at, message.end, (type, start, size) => {
        if (type === acknowledgementText) text = readString(bytes, start, size);
      });
    }
    return { errno, text };
  });
}

/** Visits the attributes of bytes[start, end). The nested and byte-order bits are taken off the type. Throws `Truncated`. */
export function eachAttribute(bytes: Uint8Array, start: number, end: number, visit: (type: number, start: number, size: number) => void): void {
  for (let at = start; at < end;) {
    if (end - at < 4) throw new Truncated(4, end - at);
    const length = u16(bytes, at);
    if (length < 4 || length > end - at) throw new Truncated(length, end - at);
    visit(u16(bytes, at + 2) & attributeTypeMask, at + 4, length - 4);
    at += align(length);
  }
}

/** Runs a decoder at its door: what ran over the end of the message becomes a fault. */
export function decoding<T>(what: string, decode: () => T): Outcome<T, WorldFault> {
  try {
    return ok(decode());
  } catch (cause) {
    if (cause instanceof Truncated) return failed(worldFault("kernel.malformed", `a netlink ${what}: ${cause.message}`));
    throw cause;
  }
}

export function u16(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8);
}
export function u32(bytes: Uint8Array, at: number): number {
  return i32(bytes, at) >>> 0;
}
export function i32(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
}

/** `start`, of an attribute that must have at least `wanted` octets; throws `Truncated` if it has not. */
export function fixed(start: number, size: number, wanted: number): number {
  if (size < wanted) throw new Truncated(wanted, size);
  return start;
}

/** Text up to the terminating zero. */
export function readString(bytes: Uint8Array, start: number, size: number): string {
  let end = start;
  while (end < start + size && bytes[end] !== 0) end++;
  let text = "";
  for (let at = start; at < end; at++) text += String.fromCharCode(bytes[at]!);
  return text;
}

/** Writes messages one after the other into one buffer, which grows by doubling and is used again after `reset`. */
export class NetlinkWriter {
  #bytes = new Uint8Array(4096);
  #at = 0;
  #message = 0;

  get length(): number {
    return this.#at;
  }
  /** What was written; shares memory with the writer until the next write. */
  get written(): Uint8Array {
    return this.#bytes.subarray(0, this.#at);
  }

  reset(): void {
    this.#at = 0;
  }

  /** Starts a message; `flags` without NLM_F_REQUEST, which is always set. */
  begin(type: number, flags: number, sequence: number): this {
    this.#message = this.#at;
    return this.u32(0)
      .u16(type)
      .u16(flags | messageFlag.request)
      .u32(sequence)
      .u32(0);
  }
  /** Ends the message begun last: its length is filled in. */
  end(): void {
    this.#patch32(this.#message, this.#at - this.#message);
    this.#pad();
  }
  /** Adds NLM_F_ACK to the message begun last. */
  acknowledge(): void {
    this.#bytes[this.#message + 6]! |= messageFlag.ack;
  }

  u8(value: number): this {
    this.#room(1);
    this.#bytes[this.#at++] = value;
    return this;
  }
  u16(value: number): this {
    this.#room(2);
    this.#bytes[this.#at++] = value;
    this.#bytes[this.#at++] = value >>> 8;
    return this;
  }
  u32(value: number): this {
    this.#room(4);
    this.#patch32(this.#at, value);
    this.#at += 4;
    return this;
  }

  attribute(type: number, value: Uint8Array): this {
    this.#header(type, value.length);
    this.#bytes.set(value, this.#at);
    this.#at += value.length;
    this.#pad();
    return this;
  }
  attribute8(type: number, value: number): this {
    this.#header(type, 1);
    this.u8(value);
    this.#pad();
    return this;
  }
  attribute32(type: number, value: number): this {
    this.#header(type, 4);
    return this.u32(value);
  }
  /** 16 bits in network order, as the kernel's __be16 attributes are. */
  attributePort(type: number, value: number): this {
    this.#header(type, 2);
    this.u8(value >>> 8).u8(value);
    this.#pad();
    return this;
  }
  /** ASCII, with the terminating zero. */
  attributeText(type: number, value: string): this {
    this.#header(type, value.length + 1);
    for (let i = 0; i < value.length; i++) this.u8(value.charCodeAt(i));
    this.u8(0);
    this.#pad();
    return this;
  }
  /** Opens a nested attribute (without NLA_F_NESTED, as iproute2 does for all we write); give what it returns to `close`. */
  nest(type: number): number {
    const at = this.#at;
    this.u16(0).u16(type);
    return at;
  }
  close(nest: number): void {
    this.patch16(nest, this.#at - nest);
  }
  patch16(at: number, value: number): void {
    this.#bytes[at] = value;
    this.#bytes[at + 1] = value >>> 8;
  }

  #header(type: number, size: number): void {
    this.#room(size + 8);
    this.u16(4 + size).u16(type);
  }
  #pad(): void {
    while ((this.#at & 3) !== 0) this.u8(0);
  }
  #patch32(at: number, value: number): void {
    this.#bytes[at] = value;
    this.#bytes[at + 1] = value >>> 8;
    this.#bytes[at + 2] = value >>> 16;
    this.#bytes[at + 3] = value >>> 24;
  }
  #room(size: number): void {
    if (this.#at + size <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.#at + size));
    grown.set(this.written);
    this.#bytes = grown;
  }
}
