/**
 * The control socket: HTTP with JSON on a unix socket. It translates and decides nothing: a request becomes a call of
 * `Control`, an outcome becomes a status and a body. No request, however made, brings the daemon down.
 */
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { closeServer, listenAt } from "#adapters/socket-path.ts";
import { callerFault, type Fault } from "#base/fault.ts";
import { type Note, note } from "#base/note.ts";
import { type Control, controlPaths } from "#daemon/control.ts";
import type { Report } from "./answers.ts";
import { EventStreams } from "./events.ts";
import { limits } from "./limits.ts";
import { badHttp, statusOf, toJson } from "./reply.ts";

/** What this door needs of the telemetry port. */
export interface ApiTelemetry {
  note(note: Note): void;
  gauge(name: string, help: string, read: () => number): void;
}

export interface ServerOptions {
  /** Path of the unix socket; its directory is made if it is missing. */
  readonly socket: string;
  /** Group that may use it besides root, if the machine has that group. */
  readonly group?: string;
}

/** A part of the daemon that runs (daemon/tasks.ts): ready once it listens, over once the signal says so and all is closed. */
export interface ApiServer {
  readonly name: "api";
  run(signal: AbortSignal, ready: () => void): Promise<void>;
}

/**
 * Makes the door over `control`; nothing listens before `run`. `run` rejects with a FaultError if the socket cannot be had:
 * `api.socket-in-use` names a daemon that is alive there.
 */
export function createServer(control: Control, telemetry: ApiTelemetry, options: ServerOptions): ApiServer {
  const report: Report = (what, error) =>
    telemetry.note(note("error", "api.broken", `answering ${what} failed by a fault of podwayd: ${sentence(error)}`, { fields: { stack: stackOf(error) } }));
  const events = new EventStreams(control, (error) => report(controlPaths.events, error));
  telemetry.gauge("podway_api_event_streams", "Open event streams.", () => events.open);
  telemetry.gauge("podway_api_event_lagged_total", "Times an event reader was too slow and was told so.", () => events.lagged);

  return {
    name: "api",
    async run(signal, ready) {
      if (signal.aborted) return;
      const server = makeHttpServer(answering(control, events, report));
      const remove = await listenAt(server, { socket: options.socket, group: options.group, option: "--api" });
      telemetry.note(note("info", "api.listening", `the control socket is ${options.socket}`));
      server.on("error", (error) => telemetry.note(note("warn", "api.not-accepted", `a connection could not be accepted: ${sentence(error)}`)));
      const stopped = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
      try {
        ready();
        if (!signal.aborted) await stopped;
      } finally {
        await remove();
        events.close();
        await closeServer(server, limits.stopMillis);
      }
    },
  };
}

type Answer = (incoming: IncomingMessage, outgoing: ServerResponse) => void;

/** Imported at the first request (answers.ts). */
function answering(control: Control, events: EventStreams, report: Report): Answer {
  let loading: Promise<Answer> | undefined;
  return (incoming, outgoing) => {
    loading ??= import("./answers.ts").then(({ createAnswers }) => createAnswers(control, events, report));
    loading.then(
      (answer) => answer(incoming, outgoing),
      (error: unknown) => {
        report("a request", error);
        outgoing.destroy();
      },
    );
  };
}

function makeHttpServer(answer: Answer): Server {
  // Imported as a module, node:http makes Node load its HTTP/2, WebSockets and fetch as well, to fill the module's names: 6 MB.
  const server = process
    .getBuiltinModule("node:http")
    .createServer(
      {
        maxHeaderSize: limits.headerOctets,
        headersTimeout: limits.requestMillis,
        requestTimeout: limits.requestMillis,
        keepAliveTimeout: limits.keepAliveMillis,
        connectionsCheckingInterval: 1_000,
      },
      answer,
    );
  server.maxConnections = limits.connections;
  server.on("clientError", answerBadHttp);
  return server;
}

const slowHttp = callerFault("api.too-slow", `the request did not arrive within ${limits.requestMillis / 1000} s.`);
const longHeader = callerFault("api.header-too-large", `the request line and headers are larger than ${limits.headerOctets} octets.`);

/** What never became a request: answered by hand, since there is nothing to route. */
function answerBadHttp(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (!socket.writable) return void socket.destroy();
  const fault: Fault = error.code === "ERR_HTTP_REQUEST_TIMEOUT" ? slowHttp : error.code === "HPE_HEADER_OVERFLOW" ? longHeader : badHttp;
  const body = toJson({ error: { code: fault.code, text: fault.text } });
  const head = `HTTP/1.1 ${statusOf(fault)} Refused\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n`;
  socket.end(head + body);
}

const sentence = (error: unknown): string => (error instanceof Error ? error.message : String(error));
const stackOf = (error: unknown): string => (error instanceof Error ? (error.stack ?? "") : "");
