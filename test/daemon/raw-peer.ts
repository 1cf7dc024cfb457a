/** A BGP neighbour as bare octets: it says what a test wants it to say, right or wrong, and keeps what it is told. */
import { type Socket, connect } from "node:net";
import { parsePrefix, prefixParts } from "#base/prefix.ts";
import { Writer } from "#base/bytes.ts";
import { ip4Number, ipBytes, type Ip } from "#base/ip.ts";
import { noCapabilities, type Capabilities } from "#wire/bgp/capability.ts";
import { messageType } from "#wire/bgp/constants.ts";
import { decodeNotification, encodeKeepalive, frame } from "#wire/bgp/message.ts";
import { decodeOpen, encodeOpen, type Open } from "#wire/bgp/open.ts";
import { until } from "./daemon-process.ts";

export interface Message {
  readonly type: number;
  readonly body: Uint8Array;
}

export interface RawTerms {
  readonly port: number;
  /** Our address, on the loopback network. */
  readonly local: string;
  /** Where the daemon listens. */
  readonly remote?: string;
  readonly asn: number;
  readonly holdSeconds?: number;
  readonly capabilities?: Partial<Capabilities>;
}

export class RawPeer {
  readonly terms: RawTerms;
  readonly socket: Socket;
  readonly messages: Message[] = [];
  isClosed = false;
  #rest = Buffer.alloc(0);
  #heartbeat: NodeJS.Timeout | undefined;

  private constructor(terms: RawTerms, socket: Socket) {
    this.terms = terms;
    this.socket = socket;
    socket.on("data", (chunk) => this.#take(chunk));
    socket.on("error", () => {});
    socket.once("close", () => {
      this.isClosed = true;
      clearInterval(this.#heartbeat);
    });
  }

  static connect(terms: RawTerms): Promise<RawPeer> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host: terms.remote ?? "127.0.0.1", port: terms.port, localAddress: terms.local });
      const peer = new RawPeer(terms, socket);
      socket.once("connect", () => resolve(peer));
      socket.once("error", reject);
    });
  }

  /** An Established session. Rejects if the daemon does not want one. */
  static async establish(terms: RawTerms): Promise<RawPeer> {
    const peer = await RawPeer.connect(terms);
    peer.send(encodeOpen(peer.ownOpen()));
    await peer.message(messageType.open);
    peer.send(encodeKeepalive());
    await peer.message(messageType.keepalive);
    return peer;
  }

  ownOpen(): Open {
    const { asn, local, holdSeconds = 90, capabilities } = this.terms;
    const families = [{ afi: 1, safi: 1 }];
    return {
      asn,
      holdSeconds,
      bgpIdentifier: ip4Number(local as Ip),
      capabilities: { ...noCapabilities, families, fourOctetAs: asn, routeRefresh: true, ...capabilities },
    };
  }
  send(bytes: Uint8Array): void {
    this.socket.write(bytes);
  }
  /** KEEPALIVEs until it is closed. */
  keepAlive(): void {
    this.#heartbeat = setInterval(() => this.send(encodeKeepalive()), 1000);
  }
  /** Announces or withdraws an IPv4 prefix as an iBGP or (with `asPath`) eBGP neighbour would. */
  announce(prefix: string, more: { readonly asPath?: readonly number[] } = {}): void {
    this.send(updateOf(prefix, this.terms, more.asPath ?? []));
  }
  withdraw(prefix: string): void {
    const nlri = nlriOf(prefix);
    this.send(message(messageType.update, Buffer.concat([u16(nlri.length), nlri, u16(0)])));
  }

  /** The first message of this type, taken out of those that came. */
  async message(type: number): Promise<Message> {
    const isThere = (): boolean => this.messages.some((each) => each.type === type);
    await until(`a message of type ${type}`, () => isThere() || this.isClosed, 10_000);
    if (!isThere()) throw new Error(`closed before a message of type ${type} came; got ${this.messages.map((each) => each.type).join(" ")}`);
    const at = this.messages.findIndex((each) => each.type === type);
    return this.messages.splice(at, 1)[0]!;
  }
  async open(): Promise<Open> {
    const { body } = await this.message(messageType.open);
    const read = decodeOpen(body, 0, body.length);
    if (!read.ok) throw new Error(read.fault.text);
    return read.value;
  }
  /** Code and subcode of the NOTIFICATION it is sent. */
  async notification(): Promise<readonly [number, number]> {
    const { body } = await this.message(messageType.notification);
    const { code, subcode } = decodeNotification(body, 0, body.length);
    return [code, subcode];
  }
  closed(): Promise<void> {
    return until("the daemon closes the connection", () => this.isClosed);
  }
  destroy(): void {
    clearInterval(this.#heartbeat);
    this.socket.destroy();
  }
  /** Prefixes announced and not withdrawn, of all UPDATEs so far. */
  get routes(): ReadonlySet<string> {
    const routes = new Set<string>();
    for (const { type, body } of this.messages) {
      if (type !== messageType.update) continue;
      const b = Buffer.from(body),
        withdrawn = b.readUInt16BE(0),
        attributes = b.readUInt16BE(2 + withdrawn);
      for (const prefix of prefixesIn(b.subarray(2, 2 + withdrawn))) routes.delete(prefix);
      for (const prefix of prefixesIn(b.subarray(4 + withdrawn + attributes))) routes.add(prefix);
    }
    return routes;
  }

  #take(chunk: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    for (let size = frame(this.#rest, 0, this.#rest.length, 65_535); size > 0; size = frame(this.#rest, 0, this.#rest.length, 65_535)) {
      this.messages.push({ type: this.#rest[18]!, body: new Uint8Array(this.#rest.subarray(19, size)) });
      this.#rest = this.#rest.subarray(size);
    }
  }
}

/** A message of any type around any body. */
export function message(type: number, body: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.alloc(16, 0xff), u16(19 + body.length), Buffer.of(type), body]);
}

function updateOf(prefix: string, { local, asn }: RawTerms, asPath: readonly number[]): Uint8Array {
  const path = new Writer(64);
  if (asPath.length > 0) path.u8(2).u8(asPath.length);
  for (const as of asPath) path.u32(as);
  const attributes = Buffer.concat([
    Buffer.of(0x40, 1, 1, 0),
    Buffer.of(0x40, 2, path.written.length),
    path.written,
    Buffer.of(0x40, 3, 4),
    ipBytes(local as Ip),
    ...(asPath.length === 0 || asPath[0] !== asn ? [Buffer.of(0x40, 5, 4, 0, 0, 0, 100)] : []),
  ]);
  return message(messageType.update, Buffer.concat([u16(0), u16(attributes.length), attributes, nlriOf(prefix)]));
}

function nlriOf(prefix: string): Uint8Array {
  const { bytes, length } = prefixParts(parsePrefix(prefix)!);
  return Buffer.concat([Buffer.of(length), bytes.subarray(0, (length + 7) >> 3)]);
}

function* prefixesIn(b: Buffer): Iterable<string> {
  for (let at = 0; at < b.length; at += 1 + ((b[at]! + 7) >> 3)) {
    const octets = [0, 1, 2, 3].map((i) => (i < (b[at]! + 7) >> 3 ? b[at + 1 + i] : 0));
    yield `${octets.join(".")}/${b[at]}`;
  }
}

function u16(value: number): Buffer {
  return Buffer.of(value >> 8, value & 0xff);
}
