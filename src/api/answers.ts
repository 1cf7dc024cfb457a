/**
 * What answers: a request becomes a call of `Control`, an outcome becomes a status and a body. Imported at the first request: the
 * framework and what it makes Node load cost a daemon that nobody asks 10 MB.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { getRequestListener, type HttpBindings, RequestError } from "@hono/node-server";
import { type Context, Hono } from "hono";
import { callerFault, FaultError, worldFault } from "#base/fault.ts";
import { type Control, controlPaths } from "#daemon/control.ts";
import { readBody, readProposal, readQuery } from "./asked.ts";
import type { EventStreams } from "./events.ts";
import { readFields } from "./fields.ts";
import { limits } from "./limits.ts";
import { describe } from "./openapi.ts";
import { badHttp, brokenFault, faultOf, faultResponse, jsonResponse } from "./reply.ts";
import type { Verb } from "./verb.ts";
import { verbs } from "./verbs.ts";

type Served = { Bindings: HttpBindings };
/** Tells the log of a bug of ours. */
export type Report = (what: string, error: unknown) => void;

/** Answers one request after another. */
export function createAnswers(control: Control, events: EventStreams, report: Report): (incoming: IncomingMessage, outgoing: ServerResponse) => void {
  const app = makeApp(control, events, report);
  const listener = getRequestListener(app.fetch, { overrideGlobalObjects: false, errorHandler: (error) => answerError(error, "a request", report) });
  return (incoming, outgoing) => void listener(incoming, outgoing);
}

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
  const body = verb.takesDocument || verb.takes ? await readBody(context.req.raw) : undefined;
  if (body?.ok === false) return faultResponse(body.fault, { connection: "close" });
  const proposal = verb.takesDocument && body ? readProposal(body.value) : undefined;
  if (proposal?.ok === false) return faultResponse(proposal.fault);
  const fields = verb.takes && body ? readFields(verb.takes, body.value) : undefined;
  if (fields?.ok === false) return faultResponse(fields.fault);
  const outcome = await inTime(verb.answer(control, { query: query.value, proposal: proposal?.value, ...(fields && { body: fields.value }) }));
  return outcome.ok ? jsonResponse(outcome.value) : faultResponse(outcome.fault);
}

/** Known paths answer a wrong method with 405 and say which one is right (HEAD too: a stream nobody reads would stay open). */
async function methodCheck(context: Context, next: () => Promise<void>): Promise<Response | void> {
  const right = methodsOf(context.req.path);
  if (right.length === 0 || right.includes(context.req.method)) return next();
  const fault = callerFault("api.wrong-method", `${context.req.path} takes ${right.join(" or ")}, not ${context.req.method}.`);
  return faultResponse(fault, { allow: right.join(", ") });
}

function methodsOf(path: string): readonly string[] {
  const rows = verbs.filter((row) => row.path === path);
  if (rows.length > 0) return rows.map((row) => row.method.toUpperCase());
  return Object.values<string>(controlPaths).includes(path) ? ["GET"] : [];
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

const noAnswer = worldFault(
  "api.no-answer",
  `no answer within ${limits.answerMillis / 1000} s: see the store's state in podway status; podway document says what is in force.`,
);
