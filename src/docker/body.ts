/** Bodies of dockerd → values. What is missing is empty (dockerd leaves fields out as it pleases), what is of the wrong kind is refused. */
import { callerFault, FaultError } from "#base/fault.ts";
import { limits } from "./limits.ts";

export type Body = Readonly<Record<string, unknown>>;

const goodId = /^[A-Za-z0-9][A-Za-z0-9_.-]*$/;

export function refuse(code: string, text: string): never {
  throw new FaultError(callerFault(`docker.${code}`, text));
}

/** Throws a FaultError. No body at all is an empty object: some calls have none. */
export function readBody(text: string): Body {
  if (text.trim() === "") return {};
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return refuse("bad-request", "the body of the request is not JSON");
  }
  return isObject(value) ? value : refuse("bad-request", "the body of the request is not a JSON object");
}

/** A string; missing or null: empty. */
export function textIn(body: Body, name: string): string {
  const value = body[name] ?? "";
  return typeof value === "string" ? value : refuse("bad-request", `${name} is not a string`);
}
export function flagIn(body: Body, name: string): boolean {
  const value = body[name] ?? false;
  return typeof value === "boolean" ? value : refuse("bad-request", `${name} is neither true nor false`);
}
/** An object; missing or null: empty. */
export function objectIn(body: Body, name: string): Body {
  const value = body[name] ?? {};
  return isObject(value) ? value : refuse("bad-request", `${name} is not an object`);
}
/** Objects; missing or null: none. */
export function objectsIn(body: Body, name: string): readonly Body[] {
  const value = body[name] ?? [];
  return Array.isArray(value) && value.every(isObject) ? value : refuse("bad-request", `${name} is not a list of objects`);
}
/** Identifier of a network or an endpoint: it becomes part of names, files and logs. */
export function idIn(body: Body, name: "NetworkID" | "EndpointID"): string {
  const id = textIn(body, name);
  if (goodId.test(id) && id.length <= limits.idCharacters) return id;
  return refuse("bad-request", `${name} must be letters, digits, "_", "." and "-", at most ${limits.idCharacters} of them`);
}

const isObject = (value: unknown): value is Body => typeof value === "object" && value !== null && !Array.isArray(value);
