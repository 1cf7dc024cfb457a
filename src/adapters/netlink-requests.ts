/** Requests over one transport: batches whose errors are told by sequence number, and dumps that are whole or not at all. */
import { FaultError, worldFault } from "#base/fault.ts";
import { type Acknowledgement, messageFlag, messageType, type NetlinkMessage, NetlinkWriter, readAcknowledgement, readDatagram } from "#wire/netlink.ts";
import type { NetlinkTransport } from "./netlink-transport.ts";

/**
 * Messages of one datagram: more gain nothing (measured). The event loop waits while the kernel works, and some rows cost it much
 * (the 10,000th route of one device and metric 0.3 ms: it walks the others), so a datagram that took too long halves the next.
 */
const batch = { most: 128, least: 8, sliceMillis: 4 } as const;
const interruptedDumps = 8;
const sequenceEnd = 0x7fff_0000;

export type Encode = (into: NetlinkWriter, sequence: number) => void;
export type Visit = (bytes: Uint8Array, message: NetlinkMessage, index: number) => void;

export interface Refusal {
  /** Which of the batch's requests. */
  readonly index: number;
  readonly reason: Acknowledgement;
}

export class NetlinkRequests {
  readonly #transport: NetlinkTransport;
  readonly #writer = new NetlinkWriter();
  #sequence = 0;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(transport: NetlinkTransport) {
    this.#transport = transport;
  }

  /**
   * Sends all requests in order and returns those the kernel refused. Only the last of each datagram asks to be acknowledged:
   * an error is reported with or without. `visit` sees the answers of queries.
   */
  batch(requests: readonly Encode[], visit?: Visit): Promise<readonly Refusal[]> {
    return this.#inTurn(async () => {
      const refused: Refusal[] = [];
      for (let from = 0, size: number = batch.most; from < requests.length;) {
        const started = performance.now(),
          part = requests.slice(from, from + size);
        await this.#send(part, from, refused, visit);
        size = performance.now() - started > batch.sliceMillis ? Math.max(batch.least, size >> 1) : Math.min(batch.most, size << 1);
        from += part.length;
      }
      return refused;
    });
  }

  /** All messages of a table, decoded. A dump the kernel marks as interrupted is thrown away and taken again. */
  dump<T>(request: Encode, decode: (bytes: Uint8Array, message: NetlinkMessage) => T | undefined): Promise<readonly T[]> {
    return this.#inTurn(async () => {
      for (let attempt = 0; attempt < interruptedDumps; attempt++) {
        const found = await this.#dumpOnce(request, decode);
        if (found !== undefined) return found;
      }
      throw new FaultError(worldFault("kernel.dump-interrupted", `a kernel table changed during each of ${interruptedDumps} dumps; it is read again soon.`));
    });
  }

  async #send(requests: readonly Encode[], from: number, refused: Refusal[], visit: Visit | undefined): Promise<void> {
    const first = this.#take(requests.length),
      last = first + requests.length - 1;
    this.#writer.reset();
    requests.forEach((encode, i) => encode(this.#writer, first + i));
    this.#writer.acknowledge();
    await this.#transport.exchange(this.#writer.written, (reply) => {
      for (const message of messagesOf(reply)) {
        if (message.sequence < first || message.sequence > last) continue;
        const index = from + message.sequence - first;
        if (message.type !== messageType.error) visit?.(reply, message, index);
        else {
          const reason = acknowledgementOf(reply, message);
          if (reason.errno !== 0) refused.push({ index, reason });
          if (message.sequence === last) return true;
        }
      }
      return false;
    });
  }

  async #dumpOnce<T>(request: Encode, decode: (bytes: Uint8Array, message: NetlinkMessage) => T | undefined): Promise<T[] | undefined> {
    const sequence = this.#take(1),
      found: T[] = [];
    let interrupted = false,
      broken: Error | undefined;
    this.#writer.reset();
    request(this.#writer, sequence);
    await this.#transport.exchange(this.#writer.written, (reply) => {
      for (const message of messagesOf(reply)) {
        if (message.sequence !== sequence) continue;
        if ((message.flags & messageFlag.interrupted) !== 0) interrupted = true;
        if (message.type === messageType.done || message.type === messageType.error) {
          const { errno, text } = acknowledgementOf(reply, message);
          if (errno !== 0) throw new FaultError(worldFault("kernel.refused", `the kernel refused a dump with error ${errno} ${text}`.trim()));
          return true;
        }
        if (broken !== undefined) continue;
        try {
          const value = decode(reply, message);
          if (value !== undefined) found.push(value);
        } catch (cause) {
          // And read on: a dump left half-read would keep the socket busy.
          broken = cause instanceof Error ? cause : new Error(String(cause));
        }
      }
      return false;
    });
    if (broken !== undefined) throw broken;
    return interrupted ? undefined : found;
  }

  /** The first of `count` new sequence numbers. */
  #take(count: number): number {
    if (this.#sequence + count > sequenceEnd) this.#sequence = 0;
    const first = this.#sequence + 1;
    this.#sequence += count;
    return first;
  }

  /** One exchange at a time: a second dump on a socket is refused, and answers must find the one who asked. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => undefined);
    return done;
  }
}

function messagesOf(reply: Uint8Array): readonly NetlinkMessage[] {
  const read = readDatagram(reply);
  if (!read.ok) throw new FaultError(read.fault);
  return read.value;
}

function acknowledgementOf(reply: Uint8Array, message: NetlinkMessage): Acknowledgement {
  const read = readAcknowledgement(reply, message);
  if (!read.ok) throw new FaultError(read.fault);
  return read.value;
}
