/**
 * A small BGP speaker of our own for the tests, over the product's codec and sockets and nothing else of it: announces what
 * it is told to, keeps what it hears. It answers nothing by itself but keepalives, so that a test says all of what happens.
 */
import { ip4Number, ipBytes, type Ip } from "#base/ip.ts";
import { systemNet } from "#adapters/sockets.ts";
import { awaitFact } from "#lab/command.ts";
import type { Connection, SocketOptions } from "#ports/net.ts";
import { decodeAttributes, type PathAttributes } from "#wire/bgp/attribute.ts";
import { type Capabilities, noCapabilities, offeredFamilies } from "#wire/bgp/capability.ts";
import { headerLength, maxExtendedMessageLength, messageType } from "#wire/bgp/constants.ts";
import {
  decodeNotification,
  decodeRouteRefresh,
  encodeKeepalive,
  encodeNotification,
  encodeRouteRefresh,
  frame,
  type RouteRefresh,
} from "#wire/bgp/message.ts";
import { decodePrefixes, type Nlri } from "#wire/bgp/nlri.ts";
import { describeNotification } from "#wire/bgp/notification.ts";
import { decodeOpen, encodeOpen, type Open } from "#wire/bgp/open.ts";
import { emptyRanges, encodeEndOfRib, encodeUpdate, endOfRib, splitUpdate } from "#wire/bgp/update.ts";
import { within } from "./namespace.ts";
import { type Route, routeOf } from "./route.ts";

export interface ClientOptions {
  /** Namespace its socket is in. */
  readonly namespace: string;
  readonly local: Ip;
  readonly remote: Ip;
  readonly asn: number;
  readonly peerAs: number;
  /** Its address if that is IPv4. */
  readonly routerId?: Ip;
  readonly holdSeconds?: number;
  readonly capabilities?: Partial<Capabilities>;
  readonly socket?: SocketOptions;
}

/** A route to announce; the next hop defaults to the client's own address of the family. */
export interface Announcement {
  readonly prefixes: readonly string[];
  readonly attributes: PathAttributes;
  readonly nextHop: Ip;
}

export const unicast = { ipv4: { afi: 1, safi: 1 }, ipv6: { afi: 2, safi: 1 } } as const;
const nowhere = "never";

export class Client {
  readonly options: ClientOptions;
  /** What the peer told us and did not take back, by prefix. */
  readonly routes = new Map<string, Route>();
  /** Families (AFI) whose End-of-RIB came in this session. */
  readonly complete = new Set<number>();
  readonly refreshes: RouteRefresh[] = [];
  updates = 0;
  lastHeardAt = 0;
  /** Why the session is over; undefined while it is not. */
  ended: string | undefined = nowhere;
  theirOpen: Open | undefined;
  established = false;
  #connection: Connection | undefined;
  #keepalive: NodeJS.Timeout | undefined;
  #rest = new Uint8Array(0);

  constructor(options: ClientOptions) {
    this.options = options;
  }

  /** Dials until the session is Established, within `millis`. */
  async connect(millis = 10_000): Promise<void> {
    const up = await awaitFact(async () => (await this.#attempt()) || undefined, { millis, everyMillis: 100 });
    if (!up) throw new Error(`our client ${this.options.local} has no session with ${this.options.remote}: ${this.ended}`);
  }

  /** `MED` and so on as given; IPv4 with an IPv4 next hop goes into the classic fields, anything else into MP_REACH_NLRI. */
  announce({ prefixes, attributes, nextHop }: Announcement): void {
    const nlri = prefixes.map((prefix) => ({ prefix }) as Nlri),
      hop = ipBytes(nextHop),
      options = { fourOctetAs: this.#fourOctetAs };
    const family = prefixes[0]!.includes(":") ? unicast.ipv6 : unicast.ipv4;
    if (hop.length > 4) this.#send(encodeUpdate({ attributes, reach: { ...family, nextHop: hop, nlri } }, options));
    else this.#send(encodeUpdate({ attributes: { ...attributes, nextHop: hop }, nlri }, options));
  }
  withdraw(prefixes: readonly string[]): void {
    const withdrawn = prefixes.map((prefix) => ({ prefix }) as Nlri),
      options = { fourOctetAs: true };
    this.#send(prefixes[0]!.includes(":") ? encodeUpdate({ unreach: { ...unicast.ipv6, withdrawn } }, options) : encodeUpdate({ withdrawn }, options));
  }
  endOfRib(): void {
    for (const { afi, safi } of offeredFamilies(this.#capabilities())) this.#send(encodeEndOfRib(afi, safi));
  }
  refresh(afi: 1 | 2, subtype = 0): void {
    this.#send(encodeRouteRefresh({ afi, safi: 1, subtype }));
  }
  /** Says Cease with `subcode` and closes. */
  cease(subcode: number, data = new Uint8Array(0)): void {
    this.#send(encodeNotification({ code: 6, subcode, data }));
    this.#over(`we sent Cease/${subcode}`);
    this.#connection?.end(1000);
  }
  /** Closes without a word. */
  drop(): void {
    this.#over("we closed");
    this.#connection?.destroy();
  }

  /** Waits until `look` is true of what came; says `what` was waited for if it does not come. */
  async until(what: string, look: () => boolean, millis = 8000): Promise<void> {
    const seen = await awaitFact(async () => look() || undefined, { millis, everyMillis: 10 });
    if (!seen) throw new Error(`our client ${this.options.local} waited ${millis / 1000} s for ${what}; its session: ${this.ended ?? "up"}`);
  }

  get #fourOctetAs(): boolean {
    return this.#capabilities().fourOctetAs !== undefined && this.theirOpen?.capabilities.fourOctetAs !== undefined;
  }

  #capabilities(): Capabilities {
    const usual = {
      families: [unicast.ipv4, unicast.ipv6],
      routeRefresh: true,
      enhancedRouteRefresh: true,
      extendedMessage: true,
      fourOctetAs: this.options.asn,
    };
    return { ...noCapabilities, ...usual, ...this.options.capabilities };
  }

  /** One dial and one OPEN; false if it came to nothing. */
  async #attempt(): Promise<boolean> {
    const { namespace, local, remote, asn, socket } = this.options;
    try {
      const options = { source: local, ...socket };
      this.#connection = await within(namespace, () => systemNet.connect(remote, 179, options, AbortSignal.timeout(3000)));
    } catch (error) {
      this.ended = error instanceof Error ? error.message : String(error);
      return false;
    }
    const connection = this.#connection;
    this.#begin();
    connection.handlers = {
      bytes: (buffer, start, end) => this.#connection === connection && this.#bytes(buffer, start, end),
      room: () => {},
      closed: (text) => this.#connection === connection && this.#over(text),
    };
    const identifier = ip4Number(this.options.routerId ?? local),
      holdSeconds = this.options.holdSeconds ?? 90;
    this.#send(encodeOpen({ asn, holdSeconds, bgpIdentifier: identifier, capabilities: this.#capabilities() }));
    await awaitFact(async () => this.established || this.ended !== undefined || undefined, { millis: 5000, everyMillis: 10 });
    if (!this.established) connection.destroy();
    return this.established;
  }

  #begin(): void {
    this.routes.clear();
    this.complete.clear();
    this.refreshes.length = 0;
    this.updates = 0;
    this.ended = undefined;
    this.established = false;
    this.#rest = new Uint8Array(0);
  }

  #send(bytes: Uint8Array): void {
    this.#connection?.write(bytes);
  }

  #over(text: string): void {
    this.ended ??= text;
    this.established = false;
    clearInterval(this.#keepalive);
  }

  #bytes(buffer: Uint8Array, start: number, end: number): void {
    this.lastHeardAt = performance.now();
    const all = Buffer.concat([this.#rest, buffer.subarray(start, end)]);
    let at = 0;
    for (;;) {
      const length = frame(all, at, all.length, maxExtendedMessageLength);
      if (length < 0) throw new Error(`${this.options.remote} sent what is no BGP message`);
      if (length === 0) break;
      this.#message(all[at + 18]!, all, at + headerLength, at + length);
      at += length;
    }
    this.#rest = new Uint8Array(all.subarray(at));
  }

  #message(type: number, bytes: Uint8Array, start: number, end: number): void {
    if (type === messageType.update) return this.#update(bytes, start, end);
    if (type === messageType.open) {
      const decoded = decodeOpen(bytes, start, end);
      if (!decoded.ok) return this.#over(`its OPEN is malformed: ${decoded.fault.text}`);
      this.theirOpen = decoded.value;
      this.#send(encodeKeepalive());
    } else if (type === messageType.keepalive && !this.established) {
      this.established = true;
      const hold = Math.min(this.options.holdSeconds ?? 90, this.theirOpen!.holdSeconds);
      if (hold > 0) this.#keepalive = setInterval(() => this.#send(encodeKeepalive()), (hold * 1000) / 3).unref();
    } else if (type === messageType.notification) {
      const { code, subcode, data } = decodeNotification(bytes, start, end);
      this.#over(`it sent ${describeNotification(code, subcode, data)}`);
    } else if (type === messageType.routeRefresh) {
      const decoded = decodeRouteRefresh(bytes, start, end);
      if (decoded.ok) this.refreshes.push(decoded.value);
    }
  }

  #update(bytes: Uint8Array, start: number, end: number): void {
    this.updates++;
    const ranges = emptyRanges(),
      fault = splitUpdate(bytes, start, end, ranges);
    if (fault) throw new Error(`${this.options.remote} sent a malformed UPDATE: ${fault.text}`);
    const family = endOfRib(bytes, ranges);
    if (family !== 0) return void this.complete.add(family >> 8);
    const internal = this.options.asn === this.options.peerAs;
    const { attributes, reach, unreach, faults } = decodeAttributes(bytes, ranges.attributesStart, ranges.attributesEnd, {
      internal,
      fourOctetAs: this.#fourOctetAs,
    });
    if (faults.length > 0) throw new Error(`${this.options.remote} sent malformed attributes: ${faults.map(({ text }) => text).join("; ")}`);
    for (const { prefix } of decodePrefixes(bytes, ranges.withdrawnStart, ranges.withdrawnEnd, v4)!) this.routes.delete(prefix);
    if (unreach) for (const { prefix } of decodePrefixes(bytes, unreach.start, unreach.end, formOf(unreach.afi))!) this.routes.delete(prefix);
    for (const { prefix } of decodePrefixes(bytes, ranges.nlriStart, ranges.nlriEnd, v4)!)
      this.routes.set(prefix, routeOf(prefix, attributes, attributes.nextHop!));
    if (reach)
      for (const { prefix } of decodePrefixes(bytes, reach.nlriStart, reach.nlriEnd, formOf(reach.afi))!)
        this.routes.set(prefix, routeOf(prefix, attributes, reach.nextHop));
  }
}

const v4 = { family: 4, addPath: false } as const;
const v6 = { family: 6, addPath: false } as const;
const formOf = (afi: number): typeof v4 | typeof v6 => (afi === 1 ? v4 : v6);
