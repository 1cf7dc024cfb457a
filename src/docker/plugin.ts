/**
 * The plugin socket of dockerd: HTTP with JSON on a unix socket, one path per call. It is part of the daemon and never brings it down;
 * it calls nobody but the daemon's pods, Docker least of all: dockerd may be waiting for this very answer.
 */
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { closeServer, listenAt } from "#adapters/socket-path.ts";
import { FaultError } from "#base/fault.ts";
import { type Note, note } from "#base/note.ts";
import type { PodControl } from "#daemon/pod-control.ts";
import { createCalls, type Reply, sayFault } from "./calls.ts";
import { limits } from "./limits.ts";
import { DockerState } from "./state.ts";

export interface PluginOptions {
  /** Path of the socket; its file name is the driver's name in Docker. */
  readonly socket: string;
  /** File of the plugin's own state. */
  readonly state: string;
}
export interface PluginTelemetry {
  note(note: Note): void;
}
/** A part of the daemon that runs (daemon/tasks.ts). */
export interface Plugin {
  readonly name: "docker";
  run(signal: AbortSignal, ready: () => void): Promise<void>;
}

type Answer = (path: string, text: string) => Promise<Reply>;

/** Makes the door over `pods` (undefined: this daemon has none); nothing listens before `run`, which never rejects. */
export function createPlugin(pods: PodControl | undefined, telemetry: PluginTelemetry, options: PluginOptions): Plugin {
  return {
    name: "docker",
    async run(signal, ready) {
      ready();
      const answer = pods === undefined ? noPods : await openCalls(pods, telemetry, options.state);
      while (!signal.aborted) {
        const server = makeServer(answer);
        const isOver = await serve(server, options.socket, telemetry, signal);
        if (isOver) return;
        await pause(limits.retryMillis, signal);
      }
    },
  };
}

/** Until the signal; false if the socket could not be had. */
async function serve(server: Server, socket: string, telemetry: PluginTelemetry, signal: AbortSignal): Promise<boolean> {
  let remove: () => Promise<void>;
  try {
    remove = await listenAt(server, { socket, group: undefined, option: "--docker" });
  } catch (cause) {
    const text = cause instanceof FaultError ? cause.fault.text : String(cause);
    telemetry.note(note("error", "docker.no-socket", `Docker cannot reach this node: ${text}`));
    return false;
  }
  telemetry.note(note("info", "docker.listening", `Docker's plugin socket is ${socket}`));
  server.on("error", (error) => telemetry.note(note("warn", "docker.not-accepted", `a connection of Docker could not be accepted: ${error.message}`)));
  if (!signal.aborted) await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
  await remove();
  await closeServer(server, limits.stopMillis);
  return true;
}

async function openCalls(pods: PodControl, telemetry: PluginTelemetry, path: string): Promise<Answer> {
  const { state, damage } = await DockerState.open(path);
  if (damage !== undefined) telemetry.note(note("error", "docker.state-damaged", damage));
  return createCalls({
    pods,
    state,
    now: () => Date.now() / 1000,
    broken: (call, error) =>
      telemetry.note(
        note("error", "docker.broken", `answering ${call} failed by a fault of podwayd`, {
          fields: { stack: error instanceof Error ? (error.stack ?? "") : "" },
        }),
      ),
  });
}

const noPods: Answer = (path) =>
  Promise.resolve({
    status: 200,
    body: sayFault(path, "this daemon has no pods: it is a reflector, has no store, or its journal cannot be used; its log says which"),
  });

function makeServer(answer: Answer): Server {
  const server = process.getBuiltinModule("node:http").createServer(
    {
      // dockerd sends an empty Host.
      requireHostHeader: false,
      maxHeaderSize: limits.headerOctets,
      headersTimeout: limits.requestMillis,
      requestTimeout: limits.requestMillis,
    },
    (incoming, outgoing) => void converse(incoming, outgoing, answer),
  );
  server.maxConnections = limits.connections;
  server.on("clientError", (_error, socket) => socket.destroy());
  return server;
}

async function converse(incoming: IncomingMessage, outgoing: ServerResponse, answer: Answer): Promise<void> {
  const path = (incoming.url ?? "").split("?")[0]!;
  outgoing.on("error", () => undefined);
  const text = await read(incoming).catch(() => undefined);
  if (text === undefined) {
    outgoing.setHeader("connection", "close");
    return send(outgoing, { status: 200, body: sayFault(path, `the request is longer than ${limits.bodyOctets} octets, or was cut off`) });
  }
  if (incoming.method !== "POST") return send(outgoing, { status: 404, body: sayFault(path, "calls are made by POST") });
  send(outgoing, await inTime(answer(path, text), path));
}

/** What takes longer goes on, and is there when dockerd asks again. */
async function inTime(answer: Promise<Reply>, path: string): Promise<Reply> {
  const late = Promise.withResolvers<Reply>();
  const body = sayFault(path, `podwayd has not finished within ${limits.answerMillis / 1000} s; try again`);
  const timer = setTimeout(() => late.resolve({ status: 200, body }), limits.answerMillis);
  try {
    return await Promise.race([answer, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

function send(outgoing: ServerResponse, { status, body }: Reply): void {
  const text = `${JSON.stringify(body)}\n`;
  outgoing.writeHead(status, { "content-type": "application/vnd.docker.plugins.v1.2+json", "content-length": Buffer.byteLength(text) });
  outgoing.end(text);
}

async function read(incoming: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let octets = 0;
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    octets += chunk.length;
    if (octets > limits.bodyOctets) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function pause(millis: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, millis);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}
