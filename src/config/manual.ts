/** The manual, the JSON Schema and the example, all from the schema: what the program accepts and what is printed cannot part. */
import { type JsonSchema, documentJsonSchema } from "./schema.ts";

/** The document of the manual; a test parses it, so it is always one that works. */
export const exampleDocument = `podway: 1
name: quickstart
asn: 64512
store:
  etcd: { endpoints: ["http://10.0.0.2:2379"], prefix: /podway/quickstart }
pools:
  - { name: routed,  cidr: 10.42.0.0/16, nodePrefix: 24, backend: bgp }
  - { name: routed6, cidr: fd42::/48,    nodePrefix: 64, backend: bgp }
  - { name: overlay, cidr: 10.43.0.0/16, nodePrefix: 24, backend: vxlan, vni: 43 }
nodes:
  rr1: { address: 10.0.0.11, address6: "fd00::11", roles: [reflector] }
  n1:  { address: 10.0.0.21, address6: "fd00::21", labels: { rack: a } }
  n2:  { address: 10.0.0.22, address6: "fd00::22", labels: { rack: b } }
peers:
  - { name: tor-a, address: 10.0.0.1, asn: 65001, nodes: "rack == 'a'", import: [default-route], export: [pods-and-more] }
policies:
  pods-and-more:
    rules:
      - { when: { prefixes: [{ prefix: 10.42.0.0/16, ge: 24 }] }, then: accept, set: { communities: ["64512:42"] } }
      - { when: { prefixes: [{ prefix: "fd42::/48", ge: 64 }] }, then: accept }
`;

const preface = `# The topology document

Printed from the schema (\`src/config/schema.ts\`). Durations are written \`30s\`, \`5m\`, \`24h\`, \`2d\` or as a number of seconds.
Unknown keys are errors. Editors take \`topology/podway.schema.json\`.
`;

/** Markdown: an example, then one table per section. */
export function printManual(): string {
  const printed = new Map<string, string>();
  const sections = sectionsOf("", "The document", documentJsonSchema()).map(({ title, schema }) => {
    const table = printTable(schema);
    const earlier = printed.get(table);
    printed.set(table, earlier ?? title);
    return `## ${title}\n\n${earlier === undefined ? table : `The keys of ${earlier}.`}\n`;
  });
  return [preface, "```yaml", exampleDocument.trimEnd(), "```", "", ...sections].join("\n");
}

/** JSON Schema (2020-12) for editors, as the text of \`topology/podway.schema.json\`. */
export function printJsonSchema(): string {
  return `${JSON.stringify({ title: "Podway topology document", ...documentJsonSchema() }, undefined, 2)}\n`;
}

interface Section {
  readonly title: string;
  readonly schema: JsonSchema;
}

/** The map at `path`, and after it every map within, in the order of the schema. */
function sectionsOf(path: string, title: string, schema: JsonSchema): readonly Section[] {
  const own = schema.properties === undefined ? [] : [{ title, schema }];
  const inner = Object.entries(schema.properties ?? {}).flatMap(([key, one]) => childSections(path === "" ? key : `${path}.${key}`, one));
  return [...own, ...inner];
}

function childSections(path: string, schema: JsonSchema): readonly Section[] {
  const within = [
    ...(schema.items ? childSections(`${path}[]`, schema.items) : []),
    ...(typeof schema.additionalProperties === "object" ? childSections(`${path}.NAME`, schema.additionalProperties) : []),
  ];
  const maps = (schema.anyOf ?? []).filter((one) => one.properties !== undefined);
  const either =
    maps.length > 1 ? sectionsOf(path, `\`${path}\` (one of these keys)`, merged(maps)) : (schema.anyOf ?? []).flatMap((one) => childSections(path, one));
  return [...(schema.properties ? sectionsOf(path, `\`${path}\``, schema) : []), ...within, ...either];
}

/** Alternatives as one map none of whose keys is required. */
function merged(maps: readonly JsonSchema[]): JsonSchema {
  return { type: "object", properties: Object.assign({}, ...maps.map((one) => one.properties)) as Readonly<Record<string, JsonSchema>> };
}

function printTable(schema: JsonSchema): string {
  const required = new Set(schema.required);
  const rows = Object.entries(schema.properties ?? {}).map(
    ([key, one]) => `| \`${key}\` | ${cell(printType(one))} | ${cell(printDefault(one, required.has(key)))} | ${cell(one.description ?? "")} |`,
  );
  return ["| key | value | default | meaning |", "|---|---|---|---|", ...rows].join("\n");
}

function printType(schema: JsonSchema): string {
  if (schema.const !== undefined) return `\`${JSON.stringify(schema.const)}\``;
  if (schema.enum !== undefined) return schema.enum.map((one) => `\`${String(one)}\``).join(", ");
  if (schema.anyOf !== undefined) return [...new Set(schema.anyOf.map(printType))].join(" or ");
  if (schema.items !== undefined) return `list of ${printType(schema.items)}`;
  if (schema.properties !== undefined) return "map";
  if (schema.type === "object")
    return `map of names to ${typeof schema.additionalProperties === "object" ? printType(schema.additionalProperties) : "anything"}`;
  if (schema.type === "integer" || schema.type === "number") return printNumber(schema);
  return [schema.type ?? "anything"]
    .flat()
    .map((type) => typeNames[type] ?? type)
    .join(" or ");
}

const typeNames: Readonly<Record<string, string>> = { string: "text", boolean: "`true`, `false`", null: "`null`" };

function printNumber({ minimum, maximum }: JsonSchema): string {
  const low = minimum === undefined || minimum <= Number.MIN_SAFE_INTEGER ? undefined : minimum;
  const high = maximum === undefined || maximum >= Number.MAX_SAFE_INTEGER ? undefined : maximum;
  return low === undefined || high === undefined ? "number" : `${low} to ${high}`;
}

function printDefault(schema: JsonSchema, isRequired: boolean): string {
  if (schema.default === undefined) return isRequired ? "required" : "";
  return `\`${typeof schema.default === "string" ? schema.default : JSON.stringify(schema.default)}\``;
}

/** One cell of a markdown table. */
const cell = (text: string): string => text.replaceAll("|", "\\|");
