/** Bodies that are one JSON object with named fields: a stranger's octets → values of the declared kinds, or one sentence. */
import { callerFault, type CallerFault, failed, ok, type Outcome } from "#base/fault.ts";
import type { Schema } from "./schema-word.ts";
import type { Field, Fields } from "./verb.ts";

const fieldLimits = { textCharacters: 4096, entries: 65_536 } as const;

type Kind = Field["schema"];
const isText = (value: unknown): value is string => typeof value === "string" && value.length <= fieldLimits.textCharacters;
const isList = (value: unknown): value is readonly unknown[] => Array.isArray(value) && value.length <= fieldLimits.entries;
const isObject = (value: unknown): value is Readonly<Record<string, unknown>> => typeof value === "object" && value !== null && !Array.isArray(value);
const has = (value: unknown, needed: readonly string[], allowed: readonly string[] = []): boolean =>
  isObject(value) &&
  needed.every((name) => isText(value[name])) &&
  Object.entries(value).every(([name, each]) => [...needed, ...allowed].includes(name) && isText(each));

const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && Number(value) >= 0;

function isPort(value: unknown): boolean {
  if (!isObject(value)) return false;
  const { hostPort, containerPort, protocol = "", hostIp = "", ...rest } = value;
  return isCount(hostPort) && isCount(containerPort) && isText(protocol) && isText(hostIp) && Object.keys(rest).length === 0;
}

const kinds: { readonly [K in Kind]: { readonly is: (value: unknown) => boolean; readonly what: string; readonly schema: Schema } } = {
  text: { is: isText, what: "a string", schema: { type: "string" } },
  texts: { is: (value) => isList(value) && value.every(isText), what: "a list of strings", schema: { type: "array", items: { type: "string" } } },
  flag: { is: (value) => typeof value === "boolean", what: "true or false", schema: { type: "boolean" } },
  count: { is: isCount, what: "a whole number from 0", schema: { type: "integer", minimum: 0 } },
  words: {
    is: (value) => isObject(value) && Object.values(value).every(isText),
    what: "an object of strings",
    schema: { type: "object", additionalProperties: { type: "string" } },
  },
  counts: {
    is: (value) => isObject(value) && Object.values(value).every(isCount),
    what: "an object of whole numbers from 0",
    schema: { type: "object", additionalProperties: { type: "integer", minimum: 0 } },
  },
  ports: {
    is: (value) => isList(value) && value.every(isPort),
    what: "a list of { hostPort, containerPort, protocol, hostIp }",
    schema: {
      type: "array",
      items: {
        type: "object",
        properties: { hostPort: { type: "integer" }, containerPort: { type: "integer" }, protocol: { type: "string" }, hostIp: { type: "string" } },
        required: ["hostPort", "containerPort"],
        additionalProperties: false,
      },
    },
  },
  keys: {
    is: (value) => isList(value) && value.every((each) => has(each, ["containerId", "ifname"])),
    what: "a list of { containerId, ifname }",
    schema: {
      type: "array",
      items: {
        type: "object",
        properties: { containerId: { type: "string" }, ifname: { type: "string" } },
        required: ["containerId", "ifname"],
        additionalProperties: false,
      },
    },
  },
  routes: {
    is: (value) => isList(value) && value.every((each) => has(each, ["destination"], ["gateway"])),
    what: "a list of { destination, gateway }",
    schema: {
      type: "array",
      items: {
        type: "object",
        properties: { destination: { type: "string" }, gateway: { type: "string" } },
        required: ["destination"],
        additionalProperties: false,
      },
    },
  },
};

/** The body's fields as `fields` declares them, and no other. */
export function readFields(fields: Fields, body: string): Outcome<Readonly<Record<string, unknown>>, CallerFault> {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return bad("the body is not JSON");
  }
  if (!isObject(value)) return bad("the body must be one JSON object");
  for (const [name, each] of Object.entries(value)) {
    const field = Object.hasOwn(fields, name) ? fields[name] : undefined;
    if (field === undefined) return bad(`there is no field ${JSON.stringify(name.slice(0, 40))}; there are ${Object.keys(fields).join(", ")}`);
    if (!kinds[field.schema].is(each)) return bad(`${name} must be ${kinds[field.schema].what}`);
  }
  const missing = Object.entries(fields).find(([name, field]) => field.required === true && value[name] === undefined);
  return missing === undefined ? ok(value) : bad(`${missing[0]} is missing: ${missing[1].about}`);
}

/** JSON Schema of such a body. */
export function schemaOfFields(fields: Fields): Schema {
  return {
    type: "object",
    properties: Object.fromEntries(Object.entries(fields).map(([name, { schema, about }]) => [name, { ...kinds[schema].schema, description: about }])),
    required: Object.entries(fields).flatMap(([name, { required }]) => (required === true ? [name] : [])),
    additionalProperties: false,
  };
}

const bad = (text: string): { readonly ok: false; readonly fault: CallerFault } => failed(callerFault("api.bad-request", `${text}.`));
