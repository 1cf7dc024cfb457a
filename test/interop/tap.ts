/**
 * What was really said on a host's link: tcpdump's capture, put together to TCP streams and read as BGP messages. The witness
 * for what a speaker offered in its OPEN, who refused whom, and that a refresh was asked for.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { type Ip, printIp } from "#base/ip.ts";
import { inside } from "#lab/command.ts";
import { headerLength, maxExtendedMessageLength, messageType } from "#wire/bgp/constants.ts";
import { decodeNotification, frame } from "#wire/bgp/message.ts";
import { describeNotification } from "#wire/bgp/notification.ts";
import { decodeOpen, type Open } from "#wire/bgp/open.ts";

export interface Heard {
  /** Milliseconds of this process's clock when it was seen. */
  readonly at: number;
  readonly from: Ip;
  readonly to: Ip;
  /** Addresses and ports: the TCP connection, the same for both directions. */
  readonly connection: string;
  readonly type: number;
  /** The body. */
  readonly body: Uint8Array;
}

interface Stream {
  next: number | undefined;
  /** Segments that came before their time, by sequence number. */
  readonly early: Map<number, Uint8Array>;
  rest: Uint8Array;
}

export class Tap {
  readonly heard: Heard[] = [];
  readonly #child: ChildProcess;
  readonly #streams = new Map<string, Stream>();
  readonly ready: Promise<void>;
  #octets = Buffer.alloc(0);
  #begun = false;

  /** Hears what `hosts` and the host of `namespace` say to each other. */
  constructor(namespace: string, hosts: readonly Ip[]) {
    const filter = `tcp port 179 and (${hosts.map((host) => `host ${host}`).join(" or ")})`;
    const argv = inside(namespace, ["tcpdump", "-i", "eth0", "-n", "-U", "--immediate-mode", "-s", "0", "-w", "-", filter]);
    this.#child = spawn(argv[0]!, argv.slice(1), { stdio: ["ignore", "pipe", "pipe"] });
    const { promise, resolve } = Promise.withResolvers<void>();
    this.ready = promise;
    this.#child.stderr!.on("data", (text: Buffer) => text.includes("listening on") && resolve());
    this.#child.stdout!.on("data", (chunk: Buffer) => this.#read(chunk));
  }

  async close(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const over = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#child.kill("SIGKILL");
    await over;
  }

  /** Forgets what was said; connections that are open are heard on. */
  forget(): void {
    this.heard.length = 0;
  }
  /** Forgets everything: what still comes of older connections is not heard. */
  begin(): void {
    this.forget();
    this.#streams.clear();
  }
  from(address: Ip, type: number): Heard[] {
    return this.heard.filter((one) => one.from === address && one.type === type);
  }
  /** The last OPEN `address` sent. */
  open(address: Ip): Open | undefined {
    const last = this.from(address, messageType.open).at(-1);
    const decoded = last && decodeOpen(last.body, 0, last.body.length);
    return decoded?.ok ? decoded.value : undefined;
  }
  /** NOTIFICATIONs of `address`, in words and as `code/subcode`. */
  notifications(address: Ip): { readonly text: string; readonly code: string }[] {
    return this.from(address, messageType.notification).map(({ body }) => {
      const { code, subcode, data } = decodeNotification(body, 0, body.length);
      return { text: describeNotification(code, subcode, data), code: `${code}/${subcode}` };
    });
  }

  /** pcap: a header of 24 octets, then records with a header of 16 (little-endian: this machine's). */
  #read(chunk: Buffer): void {
    this.#octets = Buffer.concat([this.#octets, chunk]);
    if (!this.#begun) {
      if (this.#octets.length < 24) return;
      this.#octets = this.#octets.subarray(24);
      this.#begun = true;
    }
    while (this.#octets.length >= 16) {
      const size = this.#octets.readUInt32LE(8);
      if (this.#octets.length < 16 + size) return;
      this.#frame(this.#octets.subarray(16, 16 + size));
      this.#octets = this.#octets.subarray(16 + size);
    }
  }

  #frame(ethernet: Buffer): void {
    const type = ethernet.readUInt16BE(12),
      ip = ethernet.subarray(14);
    if (type === 0x0800) {
      const total = ip.readUInt16BE(2),
        head = (ip[0]! & 15) * 4;
      this.#segment(printIp(ip.subarray(12, 16)), printIp(ip.subarray(16, 20)), ip.subarray(head, total));
    } else if (type === 0x86dd && ip[6] === 6) {
      this.#segment(printIp(ip.subarray(8, 24)), printIp(ip.subarray(24, 40)), ip.subarray(40, 40 + ip.readUInt16BE(4)));
    }
  }

  #segment(from: Ip, to: Ip, tcp: Buffer): void {
    const [fromPort, toPort] = [tcp.readUInt16BE(0), tcp.readUInt16BE(2)],
      flags = tcp[13]!;
    const key = `${from}:${fromPort}>${to}:${toPort}`,
      sequence = tcp.readUInt32BE(4);
    let stream = this.#streams.get(key);
    if (!stream || (flags & 2) !== 0) this.#streams.set(key, (stream = { next: undefined, early: new Map(), rest: new Uint8Array(0) }));
    if ((flags & 2) !== 0) stream.next = (sequence + 1) >>> 0;
    const data = tcp.subarray((tcp[12]! >> 4) * 4);
    if (data.length === 0 || stream.next === undefined) return;
    stream.early.set(sequence, new Uint8Array(data));
    for (let part = stream.early.get(stream.next); part; part = stream.early.get(stream.next)) {
      stream.early.delete(stream.next);
      stream.next = (stream.next + part.length) >>> 0;
      stream.rest = Buffer.concat([stream.rest, part]);
    }
    const ends = fromPort < toPort ? `${from}:${fromPort}-${to}:${toPort}` : `${to}:${toPort}-${from}:${fromPort}`;
    this.#messages(stream, { from, to, connection: ends });
  }

  #messages(stream: Stream, of: Pick<Heard, "from" | "to" | "connection">): void {
    let at = 0;
    for (;;) {
      const length = frame(stream.rest, at, stream.rest.length, maxExtendedMessageLength);
      if (length <= 0) break;
      const body = new Uint8Array(stream.rest.subarray(at + headerLength, at + length));
      this.heard.push({ ...of, at: performance.now(), type: stream.rest[at + 18]!, body });
      at += length;
    }
    stream.rest = new Uint8Array(stream.rest.subarray(at));
  }
}
