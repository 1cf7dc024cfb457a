/**
 * Sends a BGP speaker what no speaker should send. Arguments: address, port, our AS number (0: never a valid OPEN), seed, connections.
 * Prints one JSON line: how many connections of each kind ended how.
 */
import { connect, type Socket } from "node:net";
import { chance } from "../sim/chance.ts";

const patienceMillis = 1500;
/** Connections at a time. */
const parallel = 8;

const marker = Buffer.alloc(16, 0xff);

/** A message with an honest length unless `length` says otherwise. */
function message(type: number, body: Uint8Array, length = 19 + body.length): Buffer {
  return Buffer.concat([marker, Buffer.of((length >> 8) & 0xff, length & 0xff, type), body]);
}

function open(
  asn: number,
  change: { readonly version?: number; readonly hold?: number; readonly id?: readonly number[]; readonly options?: readonly number[] } = {},
): Buffer {
  const { version = 4, hold = 90, id = [10, 0, 0, 66], options = [2, 6, 1, 4, 0, 1, 0, 1] } = change;
  return message(1, Buffer.from([version, asn >> 8, asn & 0xff, hold >> 8, hold & 0xff, ...id, options.length, ...options]));
}
const keepalive = message(4, Buffer.alloc(0));

type Kind = (random: () => number, asn: number) => Buffer;

const noise = (random: () => number, size: number): Buffer => Buffer.from(Uint8Array.from({ length: size }, () => Math.floor(random() * 256)));
const below = (random: () => number, limit: number): number => Math.floor(random() * limit);

/** Before any session. */
const early: Readonly<Record<string, Kind>> = {
  noise: (random) => noise(random, 1 + below(random, 100_000)),
  "length 0": () => message(1, Buffer.alloc(0), 0),
  "length 18": () => message(4, Buffer.alloc(0), 18),
  "length 4097": (random) => message(2, noise(random, 4078)),
  "length 65535": (random) => message(1, noise(random, 65_516)),
  "unknown type": (random) => message(6 + below(random, 250), noise(random, 10)),
  "half a header": (random) => marker.subarray(0, 1 + below(random, 15)),
  "half an OPEN": (random) => open(64_999).subarray(0, 19 + below(random, 15)),
  "UPDATE first": (random) => message(2, noise(random, 40)),
  "OPEN of another AS": () => open(64_999),
  "OPEN version 3": (_, asn) => open(asn || 64_999, { version: 3 }),
  "OPEN hold 1": (_, asn) => open(asn || 64_999, { hold: 1 }),
  "OPEN id 0": (_, asn) => open(asn || 64_999, { id: [0, 0, 0, 0] }),
  "OPEN capabilities cut off": (_, asn) => open(asn || 64_999, { options: [2, 200, 1, 4, 0, 1] }),
  "OPEN of noise": (random) => message(1, noise(random, below(random, 250))),
  "HTTP request": () => Buffer.from("GET / HTTP/1.1\r\nHost: 10.0.0.11\r\n\r\n"),
};

/** Within a session: each after a good OPEN and KEEPALIVE. */
const late: Readonly<Record<string, Kind>> = {
  "UPDATE of noise": (random) => message(2, noise(random, below(random, 4000))),
  "UPDATE attributes run over": () => message(2, Buffer.of(0, 0, 0xff, 0xff, 0x40, 1, 1, 0)),
  "UPDATE withdrawn run over": () => message(2, Buffer.of(0xff, 0xff, 0, 0)),
  "UPDATE prefix /200": () => message(2, Buffer.of(0, 2, 200, 10, 0, 0)),
  "UPDATE too long": (random) => message(2, noise(random, 60_000)),
  "UPDATE cut off": () => message(2, Buffer.alloc(1000)).subarray(0, 500),
  "second OPEN": (_, asn) => open(asn),
  "ROUTE-REFRESH of noise": (random) => message(5, noise(random, below(random, 50))),
  "KEEPALIVE with a body": (random) => message(4, noise(random, 5)),
  "NOTIFICATION of noise": (random) => message(3, noise(random, 2 + below(random, 300))),
  "KEEPALIVE flood": () => Buffer.concat(Array.from({ length: 20_000 }, () => keepalive)),
};

type End = "refused" | "notified" | "closed" | "left open";

/** Sends `bytes` and hears how that ends; what is still open after the patience is closed by us. */
function attack(host: string, port: number, bytes: Buffer): Promise<End> {
  return new Promise((resolve) => {
    const heard: Buffer[] = [];
    let connected = false;
    const socket: Socket = connect({ host, port });
    const done = (end: End): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(hasNotification(Buffer.concat(heard)) ? "notified" : end);
    };
    const timer = setTimeout(() => done("left open"), patienceMillis);
    socket.on("connect", () => {
      connected = true;
      socket.write(bytes);
    });
    socket.on("data", (chunk) => heard.push(chunk));
    socket.on("error", () => done(connected ? "closed" : "refused"));
    socket.on("close", () => done("closed"));
  });
}

function hasNotification(bytes: Buffer): boolean {
  for (let at = 0; at + 19 <= bytes.length; at += Math.max(19, bytes.readUInt16BE(at + 16))) if (bytes[at + 18] === 3) return true;
  return false;
}

async function main([host, port, asn, seed, count]: readonly string[]): Promise<void> {
  const random = chance(Number(seed)),
    own = Number(asn),
    ends: Record<string, Partial<Record<End, number>>> = {};
  const kinds = [...Object.entries(early), ...(own === 0 ? [] : Object.entries(late).map(([name, kind]) => [name, withSession(kind)] as const))];
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let at = next++; at < Number(count); at = next++) {
      const [name, kind] = kinds[at % kinds.length]!;
      const end = await attack(host!, Number(port), kind(random, own));
      const of = (ends[name] ??= {});
      of[end] = (of[end] ?? 0) + 1;
    }
  };
  await Promise.all(Array.from({ length: parallel }, worker));
  process.stdout.write(`${JSON.stringify(ends)}\n`);
}

const withSession =
  (kind: Kind): Kind =>
  (random, asn) =>
    Buffer.concat([open(asn), keepalive, kind(random, asn)]);

if (import.meta.main) await main(process.argv.slice(2));
