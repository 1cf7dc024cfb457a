/** A BGP neighbour as bare octets: it says what a test wants it to say, right or wrong, and keeps what it is told. */
import { type Socket, connect } from "node:net";
import { ip4Number, type Ip } from "#base/ip.ts";
import { noCapabilities, type Capabilities } from "#wire/bgp/capability.ts";
import { messageType } from "#wire/bgp/constants.ts";
import { decodeNotification, encodeKeepalive, frame } from "#wire/bgp/message.ts";
import { decodeOpen, encodeOpen, type Open } from "#wire/bgp/open.ts";
import { until } from "./daemon-process.ts";
import { announcement, prefixesOf, withdrawal } from "./messages.ts";

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
  announce(prefix: string, { asPath }: { readonly asPath?: readonly number[] } = {}): void {
    this.send(announcement(prefix, { nextHop: this.terms.local, ...(asPath ? { asPath } : { localPref: 100 }) }));
  }
  withdraw(prefix: string): void {
    this.send(withdrawal(prefix));
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
      const { withdrawn, announced } = prefixesOf(body);
      for (const prefix of withdrawn) routes.delete(prefix);
      for (const prefix of announced) routes.add(prefix);
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
