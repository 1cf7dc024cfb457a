/** openapi.json (OpenAPI 3.1), generated from the table of verbs, so that it cannot say something else. */
import { controlPaths } from "#daemon/control.ts";
import { schemaOfFields } from "./fields.ts";
import { limits } from "./limits.ts";
import type { Schema } from "./schema-word.ts";
import { schemas } from "./schemas.ts";
import type { Parameter, Verb } from "./verb.ts";

const errorAnswer = {
  description: "A fault: whose it is says the status (4xx the caller's, 5xx ours or the store's).",
  content: { "application/json": { schema: { $ref: "#/components/schemas/Error" } } },
};

/** The description of the whole door as a JSON value. */
export function describe(verbs: readonly Verb[]): Schema {
  const paths: Record<string, Record<string, Schema>> = {};
  for (const verb of verbs) (paths[verb.path] ??= {})[verb.method] = operation(verb);
  paths[controlPaths.events] = {
    get: stream("events", "text/event-stream", "`status` events: the state first, then again after changes; `lagged` before a state that skipped some."),
  };
  paths[controlPaths.metrics] = { get: stream("metrics", "text/plain", "Metrics in the Prometheus text format.") };
  paths[controlPaths.openapi] = { get: stream("openapi", "application/json", "This description.") };
  return {
    openapi: "3.1.0",
    info: {
      title: "podwayd control socket",
      version: "1",
      description: "HTTP with JSON on a unix socket, for root and the group podway. Faults are one sentence.",
    },
    paths,
    components: { schemas },
  };
}

function operation(verb: Verb): Schema {
  const answer = { description: verb.about, content: { "application/json": { schema: { $ref: `#/components/schemas/${verb.schema}` } } } };
  return {
    operationId: operationId(verb),
    summary: verb.about,
    parameters: verb.query.map((parameter) => ({
      name: parameter.name,
      in: "query",
      required: parameter.required === true,
      description: parameter.about,
      schema: parameterSchema(parameter.kind),
    })),
    ...(verb.takesDocument && { requestBody: { required: true, content: { "application/json": { schema: { $ref: "#/components/schemas/Proposal" } } } } }),
    ...(verb.takes && { requestBody: { required: true, content: { "application/json": { schema: schemaOfFields(verb.takes) } } } }),
    responses: { "200": answer, default: errorAnswer },
  };
}

function stream(id: string, type: string, about: string): Schema {
  return { operationId: id, summary: about, responses: { "200": { description: about, content: { [type]: {} } }, default: errorAnswer } };
}

/** The last word of the path; with the method before it where that is not GET on the path, or others share the word. */
const operationId = ({ method, path, takes }: Verb): string => {
  const words = path.split("/").slice(2);
  if (words.length > 1) return words.map((word, i) => (i === 0 ? word : word[0]!.toUpperCase() + word.slice(1))).join("");
  return method === "delete" ? `${words[0]}Remove` : takes === undefined ? words[0]! : `${words[0]}Make`;
};

function parameterSchema(kind: Parameter["kind"]): Schema {
  if (kind === "text") return { type: "string", minLength: 1, maxLength: limits.parameterLength };
  if (kind === "flag") return { type: "boolean", default: false };
  return "from" in kind ? { type: "integer", minimum: kind.from, maximum: kind.to } : { type: "string", enum: kind };
}
