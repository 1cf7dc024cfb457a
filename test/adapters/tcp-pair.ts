/** What the socket tests share: free ports, both ends of a connection, and waiting for a fact. */
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { systemNet } from "#adapters/sockets.ts";
import { type Ip, parseIp } from "#base/ip.ts";
import type { Connection, ConnectionHandlers, Listener, Net, SocketOptions } from "#ports/net.ts";

export const ip = (text: string): Ip => parseIp(text)!;
export const loopback = ip("127.0.0.1");
const deadlineMillis = 10_000;

/** Resolves once `fact` is true; fails loudly after ten seconds. */
export async function until(what: string, fact: () => boolean): Promise<void> {
  const end = performance.now() + deadlineMillis;
  while (!fact()) {
    if (performance.now() > end) throw new Error(`waited in vain for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

export async function freePort(host = "127.0.0.1"): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** One end with what it was told. */
export interface End extends ConnectionHandlers {
  readonly connection: Connection;
  readonly chunks: Buffer[];
  readonly closings: string[];
  rooms: number;
  octets: number;
}

/** Handlers that remember; `keep` false only counts. */
export function remember(connection: Connection, keep = true): End {
  const end: End = {
    connection,
    chunks: [],
    closings: [],
    rooms: 0,
    octets: 0,
    bytes: (buffer, from, to) => {
      end.octets += to - from;
      if (keep) end.chunks.push(Buffer.from(buffer.subarray(from, to)));
    },
    room: () => void end.rooms++,
    closed: (text) => void end.closings.push(text),
  };
  connection.handlers = end;
  return end;
}

export interface Pair {
  readonly listener: Listener;
  readonly port: number;
  readonly near: End;
  readonly far: End;
}

interface PairOptions {
  readonly address?: Ip;
  readonly listen?: Parameters<Net["listen"]>[2];
  readonly connect?: SocketOptions;
  readonly keep?: boolean;
}

/** A listener and one connection to it: `near` dialled, `far` accepted. */
export async function pair({ address = loopback, listen = { md5: [] }, connect = {}, keep = true }: PairOptions = {}): Promise<Pair> {
  const port = await freePort(address);
  const accepted: Connection[] = [];
  const listener = await systemNet.listen(address, port, listen, (connection) => accepted.push(connection));
  const near = await systemNet.connect(address, port, connect, AbortSignal.timeout(deadlineMillis));
  await until("the connection to be accepted", () => accepted.length === 1);
  return { listener, port, near: remember(near, keep), far: remember(accepted[0]!, keep) };
}

/** A counter of /proc/net/netstat, for example TcpExt TCPMD5Failure. */
export function tcpExt(name: string): number {
  const [names, values] = readFileSync("/proc/net/netstat", "utf8")
    .split("\n")
    .filter((line) => line.startsWith("TcpExt:"))
    .map((line) => line.split(" "));
  return Number(values![names!.indexOf(name)]);
}
