/** The printed manual and the editors' schema are the schema. PODWAY_UPDATE=1 writes them anew. */
import { readFileSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { printJsonSchema, printManual } from "#config/manual.ts";
import { type JsonSchema, documentJsonSchema } from "#config/schema.ts";

test.each([
  ["src/config/MANUAL.md", printManual],
  ["topology/podway.schema.json", printJsonSchema],
])("%s is what the schema says (PODWAY_UPDATE=1 writes it)", (path, print) => {
  const file = new URL(`../../${path}`, import.meta.url);
  if (process.env["PODWAY_UPDATE"] === "1") writeFileSync(file, print());
  expect(readFileSync(file, "utf8")).toBe(print());
});

test("every key outside the lab has a description", () => {
  const walk = (schema: JsonSchema, path: string): readonly string[] => [
    ...Object.entries(schema.properties ?? {}).flatMap(([key, one]) => [
      ...(one.description === undefined ? [`${path}.${key}`] : []),
      ...walk(one, `${path}.${key}`),
    ]),
    ...(schema.anyOf ?? []).flatMap((one) => walk(one, path)),
    ...(schema.items ? walk(schema.items, `${path}[]`) : []),
    ...(typeof schema.additionalProperties === "object" ? walk(schema.additionalProperties, `${path}.*`) : []),
  ];
  const { lab, ...properties } = documentJsonSchema().properties!;
  expect(lab).toBeDefined();
  expect(walk({ properties }, "")).toEqual([]);
});

test("unknown keys are errors for editors too, in every map with fixed keys", () => {
  const open = (schema: JsonSchema): number =>
    (schema.properties !== undefined && schema.additionalProperties !== false ? 1 : 0) +
    [
      ...Object.values(schema.properties ?? {}),
      ...(schema.anyOf ?? []),
      ...(schema.items ? [schema.items] : []),
      ...(typeof schema.additionalProperties === "object" ? [schema.additionalProperties] : []),
    ]
      .map(open)
      .reduce((a, b) => a + b, 0);
  expect(open(documentJsonSchema())).toBe(0);
});
