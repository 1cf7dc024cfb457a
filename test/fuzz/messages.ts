/**
 * Rounds of mutated messages: each is read by the codec in every way a session may have agreed on, and taken by two RIBs of the
 * same peers, one of which reads every UPDATE by the rows. What both hold must be equal, what is told must be well-formed, and when
 * everybody is gone nothing may be left.
 */
import { isDeepStrictEqual } from "node:util";
import { assert } from "#base/assert.ts";
import { Writer } from "#base/bytes.ts";
import type { PolicySettings } from "#base/policy-settings.ts";
import { decodeAttributes, encodeAttributes } from "#wire/bgp/attribute.ts";
import { familyKey, headerLength, messageType } from "#wire/bgp/constants.ts";
import { decodeNotification, decodeRouteRefresh, encodeNotification, frame, headerFault } from "#wire/bgp/message.ts";
import { decodePrefixes } from "#wire/bgp/nlri.ts";
import { describeNotification, type PeerFault } from "#wire/bgp/notification.ts";
import { decodeOpen, encodeOpen } from "#wire/bgp/open.ts";
import { emptyRanges, endOfRib, splitUpdate } from "#wire/bgp/update.ts";
import { validateUpdate } from "#wire/bgp/validate.ts";
import { nothingLive, RibPeers, termsOf } from "../bgp/rib-peers.ts";
import { chance } from "../sim/chance.ts";
import { others, updates } from "./corpus.ts";
import { type Chance, mutated, pick } from "./mutate.ts";

export const messagesPerRound = 1000;

/** What messages came to, so that a fuzzer that reaches nothing shows. */
export interface MessageTally {
  messages: number;
  refusedHeaders: number;
  updates: number;
  discarded: number;
  withdrawn: number;
  reset: number;
  /** Paths the RIB held when it was looked at, summed up. */
  held: number;
}

export const emptyTally = (): MessageTally => ({ messages: 0, refusedHeaders: 0, updates: 0, discarded: 0, withdrawn: 0, reset: 0, held: 0 });

const all: PolicySettings = { name: "all", rules: [], otherwise: "accept" };
const open = { import: ["all"], export: ["all"] };
/** A type that fits into no octet: a peer with a wish about it has all its UPDATEs read by the rows, and nothing else changes. */
const unused = 256;
const byRows = [{ type: unused, treatment: "discard" as const }];

interface Peer {
  readonly id: number;
  readonly role: "client" | "non-client" | "external";
  readonly fourOctetAs: boolean;
  /** Index into `corpora`; the third is with path identifiers. */
  readonly corpus: 0 | 1 | 2;
}
const peers: readonly Peer[] = [
  { id: 1, role: "client", fourOctetAs: true, corpus: 0 },
  { id: 2, role: "non-client", fourOctetAs: true, corpus: 0 },
  { id: 3, role: "external", fourOctetAs: true, corpus: 1 },
  { id: 4, role: "client", fourOctetAs: false, corpus: 0 },
  { id: 5, role: "external", fourOctetAs: false, corpus: 1 },
  { id: 6, role: "client", fourOctetAs: true, corpus: 2 },
];
const externalAs = 64_603;
const corpora = [
  [...updates(undefined), ...updates(undefined), ...others(65_000, 0x0a00_0001)],
  [...updates(externalAs), ...updates(externalAs), ...others(externalAs, 0x0a00_0003)],
  updates(undefined, true),
] as const;

/** Both RIBs; they live through all rounds, so that what leaks is seen. */
export class MessageWorld {
  readonly #fast = new RibPeers({ policies: { all } });
  readonly #slow = new RibPeers({ policies: { all } });

  /** Runs one round; throws with the message in hex at the first thing that must not be. */
  round(seed: number, round: number, tally: MessageTally): void {
    const random = chance(Math.imul(seed, 0x01_00_01) ^ Math.imul(round + 1, 0x9e37_79b1));
    for (const peer of peers) this.#up(peer);
    for (let n = 0; n < messagesPerRound; n++) {
      const peer = pick(random, peers),
        bytes = mutated(random, corpora[peer.corpus]);
      try {
        this.take(bytes, peer, random, tally);
        if (n % 50 === 49) this.#rest(tally);
      } catch (error) {
        throw new Error(`seed ${seed}, round ${round}, message ${n} of peer ${peer.id}: ${Buffer.from(bytes).toString("hex")}`, { cause: error });
      }
    }
    for (const world of [this.#fast, this.#slow]) {
      for (const { id } of peers) world.down(id);
      world.settle();
      const left = JSON.stringify(world.live());
      assert(left === JSON.stringify(nothingLive), `seed ${seed}, round ${round}: everybody has gone and this is left: ${left}`);
    }
  }

  /** One message of one peer, through everything. */
  take(bytes: Uint8Array, peer: Peer, random: Chance, tally: MessageTally): void {
    tally.messages++;
    readWithCodec(bytes);
    const size = frame(bytes, 0, bytes.length, 65_535);
    if (size < 0) tally.refusedHeaders++;
    if (size <= 0 || bytes[18] !== messageType.update) return;
    tally.updates++;
    const faults = [this.#fast, this.#slow].map(({ rib }) => rib.update(peer.id, bytes, headerLength, size));
    assert(textOf(faults[0]) === textOf(faults[1]), `the usual way says ${textOf(faults[0])}, the rows say ${textOf(faults[1])}`);
    assert(faults[0] === undefined || (faults[0].code === 3 && faults[0].subcode >= 1 && faults[0].subcode <= 11), "a fault of an UPDATE is 3/1 to 3/11");
    // now and then what it costs in earnest; otherwise more is reached by going on
    if (faults[0] && random() < 0.02) for (const world of [this.#fast, this.#slow]) world.down(peer.id, random() < 0.5);
    if (this.#fast.rib.peers.up[peer.id] === 0) this.#up(peer);
  }

  #up({ id, role, fourOctetAs, corpus }: Peer): void {
    const addPath =
      corpus === 2 ? { addPath: ([0, 1] as const).map((family) => ({ family, receive: true, send: "all" as const })), extendedMessages: true } : {};
    const extendedNextHop = corpus !== 1; // the outside has not agreed to it
    const remoteAs = role === "external" ? { remoteAs: externalAs } : {};
    for (const world of [this.#fast, this.#slow])
      world.up(id, termsOf(id, role, { fourOctetAs, extendedNextHop, ...remoteAs, ...addPath }), {
        ...(role === "external" && open),
        ...(world === this.#slow && { attributes: byRows }),
      });
  }

  /** Everything is decided and told; the readers (told-reader.ts) complain of what is not as it should be. */
  #rest(tally: MessageTally): void {
    for (const world of [this.#fast, this.#slow]) {
      world.settle();
      world.rib.takeNotes();
    }
    for (const { id } of peers) {
      const [a, b] = [this.#fast, this.#slow].map((world) => JSON.stringify([...world.told(id)].toSorted(([x], [y]) => (x < y ? -1 : 1))));
      assert(a === b, `peer ${id} was told by the usual way\n${a}\nand by the rows\n${b}`);
    }
    for (const { discard, withdraw, reset } of [sumOf(this.#fast)]) [tally.discarded, tally.withdrawn, tally.reset] = [discard, withdraw, reset];
    for (const { adjRibIn } of this.#fast.rib.ribs) tally.held += adjRibIn.live;
  }
}

function sumOf({ rib }: RibPeers): { discard: number; withdraw: number; reset: number } {
  const sum = { discard: 0, withdraw: 0, reset: 0 };
  for (const [, one] of rib.malformed.all()) for (const key of ["discard", "withdraw", "reset"] as const) sum[key] += one[key];
  return sum;
}

const textOf = (fault: { readonly code: number; readonly subcode: number; readonly text: string } | undefined): string =>
  fault ? `${fault.code}/${fault.subcode} ${fault.text}` : "nothing";

/** Every reader of the codec, and what it read written and read again. */
export function readWithCodec(bytes: Uint8Array): void {
  for (const most of [4096, 65_535]) {
    const size = frame(bytes, 0, bytes.length, most);
    if (size < 0) checkFault(headerFault(bytes, 0, size));
    else if (size > 0) readBody(bytes, size);
  }
}

function readBody(bytes: Uint8Array, end: number): void {
  const type = bytes[18];
  if (type === messageType.update) return readUpdate(bytes, end);
  if (type === messageType.open) {
    const decoded = decodeOpen(bytes, headerLength, end);
    if (!decoded.ok) return checkFault(decoded.fault);
    const again = encodeOpen(decoded.value),
      back = decodeOpen(again, headerLength, again.length);
    assert(back.ok && isDeepStrictEqual(back.value, decoded.value), "an OPEN that was read is written as the same OPEN");
  } else if (type === messageType.notification) {
    const { code, subcode, data } = decodeNotification(bytes, headerLength, end);
    describeNotification(code, subcode, data);
    assert(encodeNotification({ code, subcode, data }).length <= 4096, "a NOTIFICATION of ours is of legal length");
  } else if (type === messageType.routeRefresh) {
    const decoded = decodeRouteRefresh(bytes, headerLength, end);
    if (!decoded.ok) checkFault(decoded.fault);
  }
}

const families = [familyKey(1, 1), familyKey(2, 1)];
const owns: readonly Uint8Array[] = [Uint8Array.of(10, 0, 0, 1)];

function readUpdate(bytes: Uint8Array, end: number): void {
  const ranges = emptyRanges(),
    fault = splitUpdate(bytes, headerLength, end, ranges);
  if (fault) return checkFault(fault);
  endOfRib(bytes, ranges);
  for (const internal of [true, false])
    for (const fourOctetAs of [true, false])
      for (const addPath of [undefined, families]) {
        const decoded = decodeAttributes(bytes, ranges.attributesStart, ranges.attributesEnd, { internal, fourOctetAs, ...(addPath && { addPath }) });
        const context = { internal, remoteAs: externalAs, enforceFirstAs: true, acceptAsSet: !fourOctetAs, ownAddresses: owns };
        const verdict = validateUpdate(decoded, ranges.nlriStart < ranges.nlriEnd, context);
        assert((verdict.cost === "reset") === (verdict.notification !== undefined), "a reset has its NOTIFICATION, and nothing else has one");
        if (verdict.notification) checkFault(verdict.notification);
        const { reach, unreach } = decoded;
        if (reach?.safi === 1 && reach.afi <= 2 && reach.afi > 0)
          assert(isRead(bytes, reach.nlriStart, reach.nlriEnd, reach.afi, addPath !== undefined), "the prefixes of MP_REACH_NLRI are well-formed");
        if (unreach?.safi === 1 && unreach.afi <= 2 && unreach.afi > 0)
          assert(isRead(bytes, unreach.start, unreach.end, unreach.afi, addPath !== undefined), "the prefixes of MP_UNREACH_NLRI are well-formed");
        writeAgain(decoded.attributes);
      }
}

const isRead = (bytes: Uint8Array, start: number, end: number, afi: number, addPath: boolean): boolean =>
  decodePrefixes(bytes, start, end, { family: afi === 1 ? 4 : 6, addPath }) !== undefined;

/** What was read, written, read and written again is the same octets, for sessions of four octets and of two. */
function writeAgain(attributes: Parameters<typeof encodeAttributes>[0]): void {
  for (const fourOctetAs of [true, false]) {
    const first = written(attributes, fourOctetAs),
      back = decodeAttributes(first, 0, first.length, { internal: true, fourOctetAs });
    assert(back.cost === "none", `what was read is written without a fault: ${back.faults.map(({ text }) => text).join("; ")}`);
    assert(isDeepStrictEqual(written(back.attributes, fourOctetAs), first), "what was written is read as what it was");
  }
}

function written(attributes: Parameters<typeof encodeAttributes>[0], fourOctetAs: boolean): Uint8Array {
  const into = new Writer();
  encodeAttributes(attributes, into, { fourOctetAs });
  return into.written;
}

function checkFault({ code, subcode, data, text }: PeerFault): void {
  assert(code >= 1 && code <= 8 && subcode >= 0 && subcode <= 11, `code ${code}/${subcode} is one that exists`);
  assert(encodeNotification({ code, subcode, data }).length <= 4096 && text.length > 0, "the NOTIFICATION is of legal length and has its sentence");
}

/** A message that once was a failure, as a round takes it; the peer is the first of its kind. */
export function replay(world: MessageWorld, hex: string, peer: number): void {
  world.take(Uint8Array.from(Buffer.from(hex, "hex")), peers[peer - 1]!, () => 0.5, emptyTally());
}
