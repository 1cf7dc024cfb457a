/** What no real kernel does on demand: interrupted dumps, late answers, rubbish. The transport here is scripted, octet by octet. */
import { describe, expect, test } from "vitest";
import { FaultError } from "#base/fault.ts";
import { messageFlag, messageType, type NetlinkMessage, NetlinkWriter, readDatagram } from "#wire/netlink.ts";
import { NetlinkRequests } from "../../src/adapters/netlink-requests.ts";
import type { NetlinkTransport } from "../../src/adapters/netlink-transport.ts";

/** Answers each datagram with what `answer` makes of its messages. */
class ScriptedTransport implements NetlinkTransport {
  readonly name = "script";
  readonly portId = 1;
  readonly hasEvents = false;
  sizes: number[] = [];
  readonly #answer: (messages: readonly NetlinkMessage[]) => readonly Uint8Array[];
  constructor(answer: (messages: readonly NetlinkMessage[]) => readonly Uint8Array[]) {
    this.#answer = answer;
  }
  exchange(datagram: Uint8Array, take: (reply: Uint8Array) => boolean): Promise<void> {
    const read = readDatagram(datagram);
    if (!read.ok) throw new Error(read.fault.text);
    this.sizes.push(read.value.length);
    for (const reply of this.#answer(read.value)) if (take(reply)) return Promise.resolve();
    return Promise.reject(new Error("the script ended before the request was answered"));
  }
  close(): void {}
}

const message = (type: number, flags: number, sequence: number, value: number): Uint8Array => {
  const writer = new NetlinkWriter();
  writer.begin(type, flags, sequence).u32(value).u32(0).u32(0).u32(0).u32(0).end();
  return writer.written.slice();
};
const done = (sequence: number, flags = 0): Uint8Array => message(messageType.done, messageFlag.multi | flags, sequence, 0);
const error = (sequence: number, errno: number): Uint8Array => message(messageType.error, messageFlag.capped, sequence, -errno);
const request = (into: NetlinkWriter, sequence: number): void => into.begin(26, messageFlag.dump, sequence).end();
const numberOf = (bytes: Uint8Array, { start }: NetlinkMessage): number => bytes[start]!;

describe("a dump", () => {
  test("that the kernel marks as interrupted, in any of its messages, is thrown away and taken again", async () => {
    let dumps = 0;
    const transport = new ScriptedTransport(([asked]) => {
      const { sequence } = asked!,
        first = dumps++ === 0,
        second = dumps === 2;
      return [
        message(24, messageFlag.multi | (first ? messageFlag.interrupted : 0), sequence, first ? 1 : 2),
        done(sequence, second ? messageFlag.interrupted : 0),
      ];
    });
    expect(await new NetlinkRequests(transport).dump(request, numberOf)).toEqual([2]);
    expect(dumps).toBe(3);
  });

  test("that never comes through whole is a fault with a name", async () => {
    const transport = new ScriptedTransport(([asked]) => [done(asked!.sequence, messageFlag.interrupted)]);
    const fault = await new NetlinkRequests(transport).dump(request, numberOf).catch((cause: unknown) => cause);
    expect(fault).toBeInstanceOf(FaultError);
    expect((fault as FaultError).fault.code).toBe("kernel.dump-interrupted");
  });

  test("passes over answers to somebody else's question", async () => {
    const transport = new ScriptedTransport(([asked]) => [message(24, 0, 999, 7), done(998), message(24, 0, asked!.sequence, 5), done(asked!.sequence)]);
    expect(await new NetlinkRequests(transport).dump(request, numberOf)).toEqual([5]);
  });

  test("with a row that cannot be read is read to its end, then is a fault", async () => {
    const transport = new ScriptedTransport(([asked]) => [message(24, 0, asked!.sequence, 1), message(24, 0, asked!.sequence, 2), done(asked!.sequence)]);
    const fail = (): never => {
      throw new Error("no such row");
    };
    await expect(new NetlinkRequests(transport).dump(request, fail)).rejects.toThrow("no such row");
  });

  test("the kernel refuses is a fault", async () => {
    const transport = new ScriptedTransport(([asked]) => [error(asked!.sequence, 16)]);
    await expect(new NetlinkRequests(transport).dump(request, numberOf)).rejects.toThrow("error 16");
  });
});

describe("a batch", () => {
  test("asks for an acknowledgement of the last message of each datagram alone, and tells errors by their number", async () => {
    const asking: number[] = [];
    const transport = new ScriptedTransport((messages) => {
      messages.forEach((one, i) => (one.flags & messageFlag.ack) !== 0 && asking.push(i));
      const refused = messages.filter((one) => one.sequence % 100 === 0).map((one) => error(one.sequence, 17)),
        last = messages.at(-1)!.sequence;
      return [error(77_777, 1), ...refused, ...(last % 100 === 0 ? [] : [error(last, 0)])];
    });
    const requests = Array.from({ length: 300 }, () => (into: NetlinkWriter, sequence: number) => into.begin(24, 0, sequence).end());
    const refusals = await new NetlinkRequests(transport).batch(requests);
    expect(refusals.map(({ index, reason }) => [index, reason.errno])).toEqual([
      [99, 17],
      [199, 17],
      [299, 17],
    ]);
    expect(transport.sizes.reduce((sum, size) => sum + size)).toBe(300);
    expect(asking).toEqual(transport.sizes.map((size) => size - 1));
  });

  test("of nothing sends nothing", async () => {
    const transport = new ScriptedTransport(() => []);
    expect(await new NetlinkRequests(transport).batch([])).toEqual([]);
    expect(transport.sizes).toEqual([]);
  });
});
