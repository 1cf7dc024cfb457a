/** The document's single values: names, addresses, AS numbers, durations, secrets. Each says in its message what to write. */
import { z } from "zod";
import type { Outcome } from "#base/fault.ts";
import { readAddress, readPrefix } from "./address-text.ts";

/**
 * A message set here is either a noun phrase, printed as `expected <phrase>, not <value>`, or with these parameters a whole
 * sentence that stands alone (and does not repeat the value: what a person put in the wrong place may be a secret).
 */
export const sentence = { params: { sentence: true } } as const;

const label = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
/** A host name label (RFC 1123 §2.1): it is part of store keys, file names and namespaces. */
export const Name = z.string().regex(label, "a host name label: lower-case letters, digits and hyphens, at most 63, such as n1");

function reading<T>(read: (text: string) => Outcome<T, string>): (text: string, context: z.RefinementCtx) => T {
  return (text, context) => {
    const answer = read(text);
    if (answer.ok) return answer.value;
    context.addIssue({ code: "custom", message: answer.fault, ...sentence });
    return z.NEVER;
  };
}

export const Address = z.string().transform(reading(readAddress));
export const Address4 = Address.refine((ip) => !ip.includes(":"), "an IPv4 address such as 10.0.0.21");
export const Address6 = Address.refine((ip) => ip.includes(":"), "an IPv6 address such as fd00::21");
export const Cidr = z.string().transform(reading(readPrefix));

/** AS_TRANS (RFC 6793 §9) and the last of both ranges (RFC 7300) never name a network. */
const reservedAsns: readonly number[] = [23456, 65535, 4_294_967_295];
export const Asn = z
  .int()
  .min(1)
  .max(4_294_967_295)
  .refine((asn) => !reservedAsns.includes(asn), "an AS number that may be used (23456, 65535 and 4294967295 are reserved)");

export const Port = z.int().min(1).max(65535);

const unitSeconds: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86400 };
const durationPhrase = 'a duration such as "30s", "5m" or "24h", or a number of seconds';
const DurationText = z.union([z.int().min(0), z.string().regex(/^\d{1,9}[smhd]$/, durationPhrase)], { error: `expected ${durationPhrase}` });

/** Seconds, written as "90s", "5m", "24h", "2d" or a number of seconds; from `min` to `max`, and 0 too where `zero` is set. */
export function duration(min: number, max: number, zero = false): z.ZodType<number, number | string> {
  const phrase = `${zero ? "0, or " : ""}a duration from ${min} to ${max} seconds`;
  return DurationText.transform((value) => (typeof value === "number" ? value : Number(value.slice(0, -1)) * unitSeconds[value.at(-1)!]!)).refine(
    (seconds) => (zero && seconds === 0) || (seconds >= min && seconds <= max),
    phrase,
  );
}

const intervalPhrase = 'a time such as "300ms" or "1s", with its unit';

/** Milliseconds, written as "300ms" or "1s"; from `min` to `max`. */
export function interval(min: number, max: number): z.ZodType<number, string> {
  return z
    .union([z.string().regex(/^\d{1,6}ms$/), z.string().regex(/^\d{1,3}s$/)], { error: `expected ${intervalPhrase}` })
    .transform((text) => (text.endsWith("ms") ? Number(text.slice(0, -2)) : Number(text.slice(0, -1)) * 1000))
    .refine((millis) => millis >= min && millis <= max, `a time from ${min}ms to ${max}ms`);
}

export const AbsolutePath = z.string().superRefine((text, context) => {
  if (!/^\/[^\0]*$/.test(text) || text.length > 4096) context.addIssue({ code: "custom", message: "expected the absolute path of a file", ...sentence });
});

const CredentialName = z.string().superRefine((text, context) => {
  if (!/^[A-Za-z0-9_.-]{1,255}$/.test(text))
    context.addIssue({ code: "custom", message: "expected the name of a systemd credential (LoadCredential=)", ...sentence });
});

export const Secret = z.union(
  [
    z.strictObject({ file: AbsolutePath.meta({ description: "File that holds the secret; read at the moment of use, a trailing newline is dropped." }) }),
    z.strictObject({ credential: CredentialName.meta({ description: "systemd credential of the daemon's unit (LoadCredential=)." }) }),
  ],
  { error: "a secret is never written here; write { file: PATH } and put it there, or { credential: NAME } of systemd" },
);
