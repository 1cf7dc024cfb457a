import { expect, test } from "vitest";
import { controlPaths } from "#daemon/control.ts";
import { operatorPaths } from "#daemon/operator-control.ts";
import { podPaths } from "#daemon/pod-control.ts";
import { fixedControl } from "./fixed-control.ts";
import { breaches, type JsonSchema } from "./json-schema.ts";
import { ask, jsonOf, running } from "./running.ts";

interface OpenApi {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, JsonSchema>> };
}
interface Operation {
  readonly operationId: string;
  readonly parameters?: readonly { readonly name: string; readonly required: boolean }[];
  readonly responses: Readonly<Record<string, { readonly content: Readonly<Record<string, { readonly schema?: JsonSchema }>> }>>;
}

const pods: readonly string[] = Object.values(podPaths);

test("openapi.json describes every path, and every answer is as it says", async () => {
  const { socket } = await running(fixedControl());
  const description = jsonOf(await ask(socket, "GET", "/openapi.json")) as OpenApi;
  expect(description.openapi).toBe("3.1.0");
  expect(Object.keys(description.paths).toSorted()).toEqual([...Object.values(controlPaths), ...Object.values(operatorPaths), ...pods].toSorted());
  const ids = Object.values(description.paths).flatMap((methods) => Object.values(methods).map(({ operationId }) => operationId));
  expect(new Set(ids).size).toBe(ids.length);
  let checked = 0;
  for (const [path, methods] of Object.entries(description.paths)) {
    for (const [method, { responses, parameters = [] }] of Object.entries(methods)) {
      const schema = responses["200"]?.content["application/json"]?.schema;
      // This control has no pods; a daemon that has some is held against the description in test/daemon/pods.test.ts.
      if (!schema || pods.includes(path)) continue;
      const query = parameters.filter(({ required }) => required).map(({ name }) => `${name}=10.42.8.0/24`);
      const body = method === "post" ? JSON.stringify({ text: "podway: 1", file: "q.yaml" }) : undefined;
      const reply = await ask(socket, method.toUpperCase(), query.length > 0 ? `${path}?${query.join("&")}` : path, body);
      expect([path, reply.status, breaches(jsonOf(reply), schema, description.components.schemas)]).toEqual([path, 200, []]);
      checked++;
    }
  }
  expect(checked).toBe(24);
});

test("the error is as described too, and the comparison can fail", async () => {
  const { socket } = await running(fixedControl());
  const { components } = jsonOf(await ask(socket, "GET", "/openapi.json")) as OpenApi;
  const error = jsonOf(await ask(socket, "GET", "/v1/peers?name=nobody"));
  expect(breaches(error, { $ref: "#/components/schemas/Error" }, components.schemas)).toEqual([]);
  expect(breaches({ error: { code: 1, more: true } }, { $ref: "#/components/schemas/Error" }, components.schemas)).toEqual([
    "$.error.text: missing",
    "$.error.more: not described",
    "$.error.code: 1 is no string",
  ]);
});
