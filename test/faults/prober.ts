/**
 * Pings many pairs of network namespaces 100 times a second each, from one process: a raw ICMP socket per namespace and family,
 * opened by stepping into the namespace for a moment (setns(2)). The kernel stamps what arrives, so that a prober which
 * was not scheduled in time does not take its own lateness for loss.
 *
 * Argument: the pairs as JSON. Says "ready" once every pair has answered; ends when standard input does, a second later, with
 * a `ProbeReport` as one JSON line.
 */
import { closeSync, openSync } from "node:fs";
import koffi from "koffi";
import { familyOf, type Ip, ipBytes } from "#base/ip.ts";

export interface ProbePair {
  readonly name: string;
  /** Name of the namespace that asks; undefined: the program's own. */
  readonly namespace: string;
  readonly to: Ip;
}

export interface ProbeReport {
  readonly pairs: readonly PairReport[];
  /** Longest time between two rounds: how badly the prober itself was held up. */
  readonly longestPauseMillis: number;
}

export interface PairReport {
  readonly name: string;
  readonly sent: number;
  readonly lost: number;
  /** Runs of lost packets: milliseconds since the epoch of the first and the last one's sending. */
  readonly gaps: readonly { readonly from: number; readonly to: number; readonly lost: number }[];
}

const everyMillis = 10;
/** An answer that comes later than this does not count. */
const timeoutMillis = 1000;

const libc = koffi.load("libc.so.6");
const call = {
  setns: libc.func("int setns(int, int)") as (fd: number, kind: number) => number,
  socket: libc.func("int socket(int, int, int)") as (domain: number, type: number, protocol: number) => number,
  setsockopt: libc.func("int setsockopt(int, int, int, const void *, unsigned int)") as (
    fd: number,
    level: number,
    name: number,
    value: Uint8Array,
    size: number,
  ) => number,
  sendto: libc.func("long sendto(int, const void *, size_t, int, const void *, unsigned int)") as (
    fd: number,
    data: Uint8Array,
    size: number,
    flags: number,
    address: Uint8Array,
    addressSize: number,
  ) => number | bigint,
  recv: libc.func("long recv(int, void *, size_t, int)") as (fd: number, data: Uint8Array, size: number, flags: number) => number | bigint,
  ioctl: libc.func("int ioctl(int, unsigned long, void *)") as (fd: number, request: number, value: Uint8Array) => number,
};

const newNetwork = 0x40000000; // CLONE_NEWNET
const family = { 4: 2, 6: 10 } as const; // AF_INET, AF_INET6
const rawNonBlocking = 3 | 0o4000;
const icmp = { 4: { protocol: 1, request: 8, reply: 0, offset: 20 }, 6: { protocol: 58, request: 128, reply: 129, offset: 0 } } as const;
const receiveBufferForce = 33;
const dontWait = 0x40;
/** SIOCGSTAMPNS: when the datagram received last came in, as a struct timespec. */
const lastStamp = 0x8907;
const packetOctets = 16;

interface Socket {
  readonly fd: number;
  readonly family: 4 | 6;
}

interface Pair {
  readonly name: string;
  readonly socket: Socket;
  readonly address: Uint8Array;
  readonly packet: Buffer;
  readonly sentAt: number[];
  /** 1 where the answer came in time. */
  readonly answered: number[];
}

const own = openSync("/proc/self/ns/net", "r");

function must(result: number, what: string): number {
  if (result < 0) throw new Error(`${what}: errno ${koffi.errno()}`);
  return result;
}

/** A raw socket that hears echo replies and nothing else. */
function openSocket(namespace: string, of: 4 | 6): Socket {
  const there = openSync(`/run/netns/${namespace}`, "r");
  try {
    must(call.setns(there, newNetwork), `namespace ${namespace}`);
    const fd = must(call.socket(family[of], rawNonBlocking, icmp[of].protocol), "socket");
    must(call.setsockopt(fd, 1, receiveBufferForce, int32(4 << 20), 4), "receive buffer");
    // Both filters are masks of types that are kept out: ICMP_FILTER one word, ICMP6_FILTER eight.
    const filter = Buffer.alloc(of === 4 ? 4 : 32, 0xff);
    filter[icmp[of].reply >> 3]! &= ~(1 << (icmp[of].reply & 7));
    must(call.setsockopt(fd, of === 4 ? 255 : 58, 1, filter, filter.length), "filter");
    call.ioctl(fd, lastStamp, stamp); // the first call turns the stamps on
    return { fd, family: of };
  } finally {
    must(call.setns(own, newNetwork), "own namespace");
    closeSync(there);
  }
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return bytes;
}

function socketAddress(to: Ip): Uint8Array {
  const of = familyOf(to),
    bytes = Buffer.alloc(of === 4 ? 16 : 28);
  bytes.writeUInt16LE(family[of], 0);
  bytes.set(ipBytes(to), of === 4 ? 4 : 8);
  return bytes;
}

/** An echo request of pair `id`; of an ICMPv6 one the kernel fills in the checksum. */
function request(of: 4 | 6, id: number): Buffer {
  const packet = Buffer.alloc(packetOctets);
  packet[0] = icmp[of].request;
  packet.writeUInt16BE(id, 4);
  return packet;
}

function number(packet: Buffer, of: 4 | 6, sequence: number): void {
  packet.writeUInt16BE(sequence & 0xffff, 6);
  packet.writeUInt32BE(sequence, 8);
  if (of === 6) return;
  packet.writeUInt16BE(0, 2);
  let sum = 0;
  for (let at = 0; at < packetOctets; at += 2) sum += packet.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  packet.writeUInt16BE(~sum & 0xffff, 2);
}

const stamp = Buffer.alloc(16);
const inbox = Buffer.alloc(2048);
/** Identifiers of this process's requests begin here, so that another's in the same namespace are told apart. */
const firstId = 1 + Math.floor(Math.random() * 60_000);
const now = (): number => Date.now();

function receive(socket: Socket, pairs: readonly Pair[]): void {
  const { offset } = icmp[socket.family];
  for (;;) {
    const length = Number(call.recv(socket.fd, inbox, inbox.length, dontWait));
    if (length < 0) return;
    if (length !== offset + packetOctets) continue;
    const pair = pairs[inbox.readUInt16BE(offset + 4) - firstId],
      sequence = inbox.readUInt32BE(offset + 8);
    const sentAt = pair?.sentAt[sequence];
    if (pair?.socket !== socket || sentAt === undefined) continue;
    must(call.ioctl(socket.fd, lastStamp, stamp), "stamp");
    const at = Number(stamp.readBigInt64LE(0)) * 1000 + Number(stamp.readBigInt64LE(8)) / 1e6;
    if (at - sentAt <= timeoutMillis) pair.answered[sequence] = 1;
  }
}

function send(pair: Pair): void {
  const sequence = pair.sentAt.length;
  number(pair.packet, pair.socket.family, sequence);
  pair.sentAt.push(now());
  pair.answered.push(0);
  // A send that fails stays unanswered: to the pod that is a loss like any other.
  call.sendto(pair.socket.fd, pair.packet, packetOctets, 0, pair.address, pair.address.length);
}

function reportOf({ name, sentAt, answered }: Pair, from: number): PairReport {
  const gaps: { from: number; to: number; lost: number }[] = [];
  let lost = 0,
    previous = -2;
  for (let i = from; i < sentAt.length; i++) {
    if (answered[i] === 1) continue;
    lost++;
    if (previous === i - 1) Object.assign(gaps.at(-1)!, { to: sentAt[i]!, lost: gaps.at(-1)!.lost + 1 });
    else gaps.push({ from: sentAt[i]!, to: sentAt[i]!, lost: 1 });
    previous = i;
  }
  return { name, sent: sentAt.length - from, lost, gaps };
}

function probe(wanted: readonly ProbePair[]): void {
  const sockets = new Map<string, Socket>();
  const pairs = wanted.map(({ name, namespace, to }, id): Pair => {
    const of = familyOf(to),
      key = `${namespace} ${of}`,
      socket = sockets.get(key) ?? openSocket(namespace, of);
    sockets.set(key, socket);
    return { name, socket, address: socketAddress(to), packet: request(of, firstId + id), sentAt: [], answered: [] };
  });
  let ending = false,
    ready: readonly number[] | undefined,
    last = now(),
    longest = 0;
  let timer: NodeJS.Timeout | undefined,
    due = now();
  const round = (): void => {
    for (const socket of sockets.values()) receive(socket, pairs);
    if (ending) return;
    // Rounds keep to a grid, so that small delays do not add up; what a long one has cost is not made good in one burst.
    due = Math.max(due + everyMillis, now() - everyMillis);
    timer = setTimeout(round, Math.max(0, due - now()));
    if (ready) longest = Math.max(longest, now() - last);
    last = now();
    for (const pair of pairs) send(pair);
    if (ready || !pairs.every((pair) => pair.answered.includes(1))) return;
    ready = pairs.map((pair) => pair.sentAt.length);
    process.stdout.write("ready\n");
  };
  round();
  process.stdin.resume().once("end", () => {
    ending = true;
    setTimeout(() => {
      clearTimeout(timer);
      round();
      const report: ProbeReport = { pairs: pairs.map((pair, i) => reportOf(pair, ready?.[i] ?? 0)), longestPauseMillis: longest };
      process.stdout.write(`${JSON.stringify(report)}\n`);
    }, timeoutMillis);
  });
}

if (import.meta.main) probe(JSON.parse(process.argv[2]!) as ProbePair[]);
