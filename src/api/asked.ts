/** Strangers' parameters and bodies → `Asked`, or one sentence that says what is wrong and what would be right. */
import { callerFault, type CallerFault, failed, ok, type Outcome } from "#base/fault.ts";
import { limits } from "./limits.ts";
import type { Asked, Parameter, Proposal, Verb } from "./verb.ts";

/** Checks `query` (name → every value given for it) against the row's parameters. */
export function readQuery(verb: Verb, query: Readonly<Record<string, readonly string[]>>): Outcome<Asked["query"], CallerFault> {
  const known = new Map(verb.query.map((parameter) => [parameter.name, parameter]));
  const out: Record<string, string | number | boolean> = {};
  for (const [name, values] of Object.entries(query)) {
    const parameter = known.get(name);
    if (!parameter)
      return bad(`${verb.path} knows no parameter ${quote(name)}: ${known.size === 0 ? "it takes none" : `it takes ${[...known.keys()].join(", ")}`}.`);
    if (values.length !== 1) return bad(`${name} is given ${values.length} times: give it once.`);
    const value = readValue(parameter, values[0]!);
    if (!value.ok) return value;
    out[name] = value.value;
  }
  const missing = verb.query.find((parameter) => parameter.required && out[parameter.name] === undefined);
  return missing ? bad(`${verb.path} needs ${missing.name}: ${missing.about}`) : ok(out);
}

function readValue({ name, kind }: Parameter, text: string): Outcome<string | number | boolean, CallerFault> {
  if (text === "" && kind !== "flag") return bad(`${name} is empty: give a value or leave it out.`);
  if (text.length > limits.parameterLength) return bad(`${name} is longer than ${limits.parameterLength} characters.`);
  if (kind === "text") return ok(text);
  if (kind === "flag") {
    if (text === "true" || text === "1" || text === "") return ok(true);
    return text === "false" || text === "0" ? ok(false) : bad(`${name} is ${quote(text)}: it must be true or false.`);
  }
  if ("from" in kind) {
    const value = /^\d{1,9}$/.test(text) ? Number(text) : NaN;
    return value >= kind.from && value <= kind.to ? ok(value) : bad(`${name} is ${quote(text)}: it must be a number from ${kind.from} to ${kind.to}.`);
  }
  return kind.includes(text) ? ok(text) : bad(`${name} is ${quote(text)}: it must be ${kind.join(" or ")}.`);
}

/** The body as text, or a fault as soon as it is known to be too large; what is not read then is left to the connection's end. */
export async function readBody(request: Request): Promise<Outcome<string, CallerFault>> {
  if (Number(request.headers.get("content-length") ?? 0) > limits.bodyOctets) return failed(bodyTooLarge);
  const reader = request.body?.getReader();
  const chunks: Uint8Array[] = [];
  let octets = 0;
  for (let part = await reader?.read(); part?.value; part = await reader?.read()) {
    octets += part.value.length;
    if (octets > limits.bodyOctets) return failed(bodyTooLarge);
    chunks.push(part.value);
  }
  return ok(Buffer.concat(chunks).toString("utf8"));
}

const bodyTooLarge = callerFault("api.body-too-large", `the body is larger than ${limits.bodyOctets} octets, which no topology file needs.`);

/** A body of plan or apply: `{ "text": …, "file": … }`, nothing else. */
export function readProposal(body: string): Outcome<Proposal, CallerFault> {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return bad('the body is not JSON: send { "text": the topology file, "file": its name }.');
  }
  if (typeof value === "object" && value !== null && "text" in value && "file" in value && Object.keys(value).length === 2) {
    const { text, file } = value;
    if (typeof text === "string" && typeof file === "string" && file.length <= limits.parameterLength * 16) return ok({ text, file });
  }
  return bad('the body must be { "text": string, "file": string } and nothing else.');
}

const bad = (text: string): { readonly ok: false; readonly fault: CallerFault } => failed(callerFault("api.bad-request", text));

/** What a stranger wrote, short and without control characters. */
const quote = (text: string): string => JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text);
