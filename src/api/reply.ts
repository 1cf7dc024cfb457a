/** What goes out of this door: JSON, and for each fault its HTTP status. */
import { type CallerFault, callerFault, type Fault, FaultError } from "#base/fault.ts";

export type ErrorStatus = 400 | 403 | 404 | 405 | 408 | 409 | 413 | 422 | 431 | 500 | 503;

/**
 * Beginning of a fault's code → status; the first row that fits wins. A caller's code without a row is a plain 400, the
 * world's is 503: the request was fine, try again.
 */
const statusRows: readonly (readonly [beginning: string, status: ErrorStatus])[] = [
  ["api.no-such-", 404],
  ["api.wrong-method", 405],
  ["api.too-slow", 408],
  ["api.body-too-large", 413],
  ["api.header-too-large", 431],
  ["api.too-many-", 503],
  ["api.no-answer", 503],
  ["api.broken", 500],
  ["config.changed-meanwhile", 409],
  ["config.no-store", 409],
  ["config.store-away", 503],
  ["config.", 422],
  ["store.", 503],
  ["ipam.try-later", 503],
  ["ipam.no-such-pool", 404],
  ["ipam.unknown", 404],
  ["ipam.not-permitted", 403],
  ["ipam.bad-request", 400],
  ["ipam.", 409],
  ["attach.failed", 503],
  ["attach.", 409],
];

/** The HTTP status of a fault (see the table above). */
export function statusOf(fault: Fault): ErrorStatus {
  const row = statusRows.find(([beginning]) => fault.code.startsWith(beginning));
  return row?.[1] ?? (fault.whose === "world" ? 503 : 400);
}

/** JSON of a view. A bigint is printed as a string of decimal digits, since JSON numbers lose precision beyond 2^53. */
export function toJson(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) => (typeof inner === "bigint" ? inner.toString() : inner));
}

export function jsonResponse(value: unknown, status = 200, headers: Readonly<Record<string, string>> = {}): Response {
  return new Response(toJson(value), { status, headers: { "content-type": "application/json", "cache-control": "no-store", ...headers } });
}

/** `{ "error": { "code", "text" } }` under the fault's status. */
export function faultResponse(fault: Fault, headers: Readonly<Record<string, string>> = {}): Response {
  return jsonResponse({ error: { code: fault.code, text: fault.text } }, statusOf(fault), headers);
}

/** The fault an exception carries; undefined if it is no fault but a bug of ours. */
export function faultOf(error: unknown): Fault | undefined {
  return error instanceof FaultError ? error.fault : undefined;
}

/** What the caller is told of a bug of ours: that it is ours, and where the rest is. Details go to the log alone. */
export const brokenFault = (what: string): CallerFault =>
  callerFault("api.broken", `podwayd failed while answering ${what}; its log says more under the event api.broken.`);

export const badHttp = callerFault("api.bad-http", "this is not an HTTP/1.1 request that can be understood.");
