/**
 * The control socket: HTTP with JSON on a unix socket. It translates and decides nothing: a request becomes a call of
 * `Control`, an outcome becomes a status and a body. No request, however made, brings the daemon down.
 */
import { createServer as createHttpServer, type IncomingMessage, type Server } from "node:http";
import type { Duplex } from "node:stream";
import { getRequestListener, type HttpBindings, RequestError } from "@hono/node-server";
import { type Context, Hono } from "hono";
import { callerFault, FaultError, type Fault, worldFault } from "#base/fault.ts";
import { type Note, note } from "#base/note.ts";
import { type Control, controlPaths } from "#daemon/control.ts";
import { readBody, readProposal, readQuery } from "./asked.ts";
import { EventStreams } from "./events.ts";
import { limits } from "./limits.ts";
import { describe } from "./openapi.ts";
import { brokenFault, faultOf, faultResponse, jsonResponse, statusOf, toJson } from "./reply.ts";
import { listenAt } from "./socket.ts";
import type { Verb } from "./verb.ts";
import { verbs } from "./verbs.ts";

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
  const app = makeApp(control, events, report);

  return {
    name: "api",
    async run(signal, ready) {
      if (signal.aborted) return;
      const server = makeHttpServer(app, report);
      const remove = await listenAt(server, { socket: options.socket, group: options.group });
      telemetry.note(note("info", "api.listening", `the control socket is ${options.socket}`));
      server.on("error", (error) => telemetry.note(note("warn", "api.not-accepted", `a connection could not be accepted: ${sentence(error)}`)));
      const stopped = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
      try {
        ready();
        if (!signal.aborted) await stopped;
      } finally {
        await remove();
        events.close();
        await closed(server);
      }
    },
  };
}

type Served = { Bindings: HttpBindings };
/** Tells the log of a bug of ours. */
type Report = (what: string, error: unknown) => void;

function makeApp(control: Control, events: EventStreams, report: Report): Hono<Served> {
  const app = new Hono<Served>();
  app.onError((error, context) =>
    hasLeft(context.env.incoming) ? faultResponse(badHttp) : answerError(error, `${context.req.method} ${context.req.path}`, report),
  );
  app.use(methodCheck);
  for (const verb of verbs) app.on(verb.method.toUpperCase(), verb.path, (context) => serve(verb, control, context));

  app.get(controlPaths.events, () => {
    const stream = events.stream();
    return stream.ok
      ? new Response(stream.value, { headers: { "content-type": "text/event-stream", "cache-control": "no-store", connection: "close" } })
      : faultResponse(stream.fault);
  });
  app.get(
    controlPaths.metrics,
    async () => new Response(await inTime(control.metrics()), { headers: { "content-type": "text/plain; version=0.0.4; charset=utf-8" } }),
  );
  const description = describe(verbs);
  app.get(controlPaths.openapi, () => jsonResponse(description));
  app.notFound((context) =>
    faultResponse(callerFault("api.no-such-path", `there is nothing at ${context.req.path}: GET ${controlPaths.openapi} lists what there is.`)),
  );
  return app;
}

async function serve(verb: Verb, control: Control, context: Context): Promise<Response> {
  const query = readQuery(verb, context.req.queries());
  if (!query.ok) return faultResponse(query.fault);
  const body = verb.takesDocument ? await readBody(context.req.raw) : undefined;
  if (body?.ok === false) return faultResponse(body.fault, { connection: "close" });
  const proposal = body && readProposal(body.value);
  if (proposal?.ok === false) return faultResponse(proposal.fault);
  const outcome = await inTime(verb.answer(control, { query: query.value, proposal: proposal?.value }));
  return outcome.ok ? jsonResponse(outcome.value) : faultResponse(outcome.fault);
}

/** Known paths answer a wrong method with 405 and say which one is right (HEAD too: a stream nobody reads would stay open). */
async function methodCheck(context: Context, next: () => Promise<void>): Promise<Response | void> {
  const right = methodOf(context.req.path);
  if (right === undefined || context.req.method === right) return next();
  const fault = callerFault("api.wrong-method", `${context.req.path} takes ${right}, not ${context.req.method}.`);
  return faultResponse(fault, { allow: right });
}

function methodOf(path: string): string | undefined {
  const verb = verbs.find((row) => row.path === path);
  if (verb) return verb.method.toUpperCase();
  return Object.values<string>(controlPaths).includes(path) ? "GET" : undefined;
}

/** The client closed in the middle of its body: there is nobody to answer and nothing wrong with us. */
const hasLeft = (incoming: IncomingMessage): boolean => incoming.destroyed && !incoming.complete;

/** Plans and applies wait for the store, which may be away. */
async function inTime<T>(answer: T | Promise<T>): Promise<T> {
  if (!(answer instanceof Promise)) return answer;
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new FaultError(noAnswer)), limits.answerMillis);
  try {
    return await Promise.race([answer, promise]);
  } finally {
    clearTimeout(timer);
  }
}

function answerError(error: unknown, what: string, report: Report): Response {
  if (error instanceof RequestError) return faultResponse(badHttp);
  const fault = faultOf(error);
  if (fault) return faultResponse(fault);
  report(what, error);
  return faultResponse(brokenFault(what));
}

function makeHttpServer(app: Hono<Served>, report: Report): Server {
  const listener = getRequestListener(app.fetch, { overrideGlobalObjects: false, errorHandler: (error) => answerError(error, "a request", report) });
  const server = createHttpServer(
    {
      maxHeaderSize: limits.headerOctets,
      headersTimeout: limits.requestMillis,
      requestTimeout: limits.requestMillis,
      keepAliveTimeout: limits.keepAliveMillis,
      connectionsCheckingInterval: 1_000,
    },
    (incoming, outgoing) => void listener(incoming, outgoing),
  );
  server.maxConnections = limits.connections;
  server.on("clientError", answerBadHttp);
  return server;
}

const badHttp = callerFault("api.bad-http", "this is not an HTTP/1.1 request that can be understood.");
const slowHttp = callerFault("api.too-slow", `the request did not arrive within ${limits.requestMillis / 1000} s.`);
const longHeader = callerFault("api.header-too-large", `the request line and headers are larger than ${limits.headerOctets} octets.`);
const noAnswer = worldFault(
  "api.no-answer",
  `no answer within ${limits.answerMillis / 1000} s: see the store's state in podway status; podway document says what is in force.`,
);

/** What never became a request: answered by hand, since there is nothing to route. */
function answerBadHttp(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (!socket.writable) return void socket.destroy();
  const fault: Fault = error.code === "ERR_HTTP_REQUEST_TIMEOUT" ? slowHttp : error.code === "HPE_HEADER_OVERFLOW" ? longHeader : badHttp;
  const body = toJson({ error: { code: fault.code, text: fault.text } });
  const head = `HTTP/1.1 ${statusOf(fault)} Refused\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n`;
  socket.end(head + body);
}

/** Ends when every connection has: idle ones at once, busy ones after `stopMillis` whatever they do. */
function closed(server: Server): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => server.closeAllConnections(), limits.stopMillis);
    server.close(() => {
      clearTimeout(timer);
      resolve();
    });
    server.closeIdleConnections();
  });
}

const sentence = (error: unknown): string => (error instanceof Error ? error.message : String(error));
const stackOf = (error: unknown): string => (error instanceof Error ? (error.stack ?? "") : "");
