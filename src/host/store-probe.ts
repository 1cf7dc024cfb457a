/** The store's endpoints, asked as a browser would: whether they answer, how fast, with which certificate, and what time they have. */
import { readFile } from "node:fs/promises";
import { request as httpRequest } from "node:http";
import { type RequestOptions, request as httpsRequest } from "node:https";
import type { TLSSocket } from "node:tls";
import { X509Certificate } from "node:crypto";
import { type Check, bad, doubtful, good } from "#base/check.ts";
import type { NodeSettings } from "#base/settings.ts";

const probeLimits = {
  answerMillis: 3000,
  /** Slower than this claims are renewed with little left. */
  slowMillis: 500,
  /** A certificate that ends sooner is said. */
  daysLeft: 14,
  /** Clocks further apart make certificates and times in the history wrong. */
  skewSeconds: 5,
} as const;
const dayMillis = 86_400_000;

interface Answer {
  readonly millis: number;
  /** Seconds by which the other clock is ahead; undefined if it does not say. */
  readonly skewSeconds: number | undefined;
  readonly validTo: number | undefined;
}

export async function checkStore({ store }: NodeSettings): Promise<readonly Check[]> {
  if (store.kind === "none") return [good("store", "this node has no store.")];
  if (store.kind === "embedded") return [good("store", "the store is in the state directory.")];
  const tls = { ca: await fileOf(store.ca), cert: await fileOf(store.cert), key: await fileOf(store.key) };
  const answers = await Promise.all(
    store.endpoints.map((endpoint) =>
      probe(endpoint, tls).then(
        (answer) => judge(endpoint, answer),
        (cause: Error) => lost(endpoint, cause),
      ),
    ),
  );
  const checks = answers.flat(),
    away = checks.filter(({ name, state }) => name === "store" && state !== "ok").length;
  const isHalf = away > 0 && away < store.endpoints.length;
  const told = isHalf ? checks.map((check) => (check.state === "fail" && check.name === "store" ? { ...check, state: "warn" as const } : check)) : checks;
  return [...told, ...(await ownCertificate(store.cert))];
}

const fileOf = (path: string | undefined): Promise<Buffer | undefined> =>
  path === undefined ? Promise.resolve(undefined) : readFile(path).catch(() => undefined);

function probe(
  endpoint: string,
  tls: { readonly ca: Buffer | undefined; readonly cert: Buffer | undefined; readonly key: Buffer | undefined },
): Promise<Answer> {
  const began = performance.now(),
    isTls = endpoint.startsWith("https:");
  const given = Object.fromEntries(Object.entries(tls).filter(([, value]) => value !== undefined));
  // What the certificate says is read also where it is not trusted: that is told by the daemon's own connection.
  const options: RequestOptions = { timeout: probeLimits.answerMillis, agent: false, ...(isTls && { ...given, rejectUnauthorized: false }) };
  return new Promise((resolve, reject) => {
    const asked = (isTls ? httpsRequest : httpRequest)(new URL("/health", endpoint), options, (reply) => {
      const date = Date.parse(reply.headers.date ?? "");
      const validTo = isTls ? Date.parse((reply.socket as TLSSocket).getPeerCertificate().valid_to) : NaN;
      reply
        .resume()
        .once("end", () =>
          resolve({
            millis: performance.now() - began,
            skewSeconds: Number.isNaN(date) ? undefined : (date - Date.now()) / 1000,
            validTo: Number.isNaN(validTo) ? undefined : validTo,
          }),
        );
    });
    asked.once("timeout", () => asked.destroy(new Error(`no answer within ${probeLimits.answerMillis / 1000} s`)));
    asked.once("error", reject).end();
  });
}

function judge(endpoint: string, { millis, skewSeconds, validTo }: Answer): Check[] {
  const took = `${Math.round(millis)} ms`;
  const checks = [
    millis > probeLimits.slowMillis
      ? doubtful("store", `${endpoint} took ${took} to answer: look at its disk and the way to it.`)
      : good("store", `${endpoint} answers within ${took}.`),
  ];
  if (skewSeconds !== undefined && Math.abs(skewSeconds) > probeLimits.skewSeconds)
    checks.push(
      doubtful(
        "clock.store",
        `the clock of ${endpoint} is ${Math.abs(Math.round(skewSeconds))} s ${skewSeconds > 0 ? "ahead of" : "behind"} ours: let both follow one NTP source.`,
      ),
    );
  if (validTo !== undefined) checks.push(certificate(`the certificate of ${endpoint}`, validTo));
  return checks;
}

function certificate(whose: string, validTo: number): Check {
  const days = Math.floor((validTo - Date.now()) / dayMillis),
    day = new Date(validTo).toISOString().slice(0, 10);
  if (days < 0) return bad("store.certificate", `${whose} ended on ${day}: renew it.`);
  if (days < probeLimits.daysLeft) return doubtful("store.certificate", `${whose} ends on ${day}, in ${days} days: renew it.`);
  return good("store.certificate", `${whose} is valid until ${day}.`);
}

function lost(endpoint: string, cause: Error): Check[] {
  const why = "code" in cause && typeof cause.code === "string" ? cause.code : cause.message;
  return [bad("store", `${endpoint} does not answer (${why}): is etcd running there, and is its port open for this node?`)];
}

async function ownCertificate(path: string | undefined): Promise<Check[]> {
  if (path === undefined) return [];
  const file = await fileOf(path);
  if (!file) return [bad("store.certificate", `our certificate ${path} cannot be read: put it there, or correct store.etcd.tls.cert.`)];
  try {
    return [certificate(`our certificate ${path}`, Date.parse(new X509Certificate(file).validTo))];
  } catch {
    return [bad("store.certificate", `${path} holds no certificate in PEM: put one there.`)];
  }
}
