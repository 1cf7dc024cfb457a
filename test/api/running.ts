/** A real server on a real unix socket in a directory of its own, and a raw client for it. */
import { mkdtemp, rm } from "node:fs/promises";
import { type ClientRequest, type IncomingMessage, request } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { createServer } from "#api/server.ts";
import type { Note } from "#base/note.ts";
import type { Control } from "#daemon/control.ts";
import type { Telemetry } from "#ports/telemetry.ts";

export interface Running {
  readonly socket: string;
  readonly notes: Note[];
  readonly gauges: Map<string, () => unknown>;
  stop(): Promise<void>;
}

/** A directory that is gone when the test is over. */
export async function directory(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "podway-api-"));
  onTestFinished(() => rm(path, { recursive: true, force: true }));
  return path;
}

export function memoryTelemetry(): Telemetry & { readonly notes: Note[]; readonly gauges: Map<string, () => unknown> } {
  const notes: Note[] = [],
    gauges = new Map<string, () => unknown>();
  return { notes, gauges, note: (note) => void notes.push(note), gauge: (name, _help, read) => void gauges.set(name, read) };
}

/** Starts a server over `control`; resolves once it listens, rejects if it cannot. Stopped when the test is over. */
export async function running(control: Control, at?: string, group?: string): Promise<Running> {
  const socket = at ?? join(await directory(), "podwayd.sock");
  const telemetry = memoryTelemetry();
  const server = createServer(control, telemetry, group === undefined ? { socket } : { socket, group });
  const stopping = new AbortController();
  const { promise: listening, resolve: ready } = Promise.withResolvers<void>();
  const over = server.run(stopping.signal, ready);
  await Promise.race([listening, over.then(() => Promise.reject(new Error("the server ended before it was ready")))]);
  const stop = async (): Promise<void> => {
    stopping.abort();
    await over;
  };
  onTestFinished(stop);
  return { socket, notes: telemetry.notes, gauges: telemetry.gauges, stop };
}

export interface Reply {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly text: string;
}

export function ask(socket: string, method: string, path: string, body?: string | Buffer, headers: Readonly<Record<string, string>> = {}): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const asked: ClientRequest = request({ socketPath: socket, method, path, headers, agent: false }, (reply) => {
      const chunks: Buffer[] = [];
      reply.on("data", (chunk: Buffer) => chunks.push(chunk));
      reply.on("error", reject);
      reply.on("end", () => resolve({ status: reply.statusCode!, headers: reply.headers, text: Buffer.concat(chunks).toString() }));
    });
    asked.on("error", reject);
    asked.end(body);
  });
}

export const jsonOf = (reply: Reply): unknown => JSON.parse(reply.text);

/** Sends octets as they are; resolves with everything that came back once the server closed. */
export function sendRaw(socket: string, octets: string | Buffer): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const connection = connect(socket, () => connection.end(octets));
    connection.on("data", (chunk: Buffer) => chunks.push(chunk));
    connection.on("error", reject);
    connection.on("close", () => resolve(Buffer.concat(chunks).toString()));
  });
}

/** Polls for a fact with a deadline. */
export async function until(fact: () => boolean | Promise<boolean>, what: string, withinMillis = 5_000): Promise<void> {
  const deadline = performance.now() + withinMillis;
  while (!(await fact())) {
    if (performance.now() > deadline) throw new Error(`not within ${withinMillis} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
