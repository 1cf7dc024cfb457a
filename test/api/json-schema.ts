/** Compares a value with the part of JSON Schema that openapi.json uses. */
export interface JsonSchema {
  readonly $ref?: string;
  readonly type?: string;
  readonly enum?: readonly string[];
  readonly anyOf?: readonly JsonSchema[];
  readonly items?: JsonSchema;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly minimum?: number;
  readonly description?: string;
  readonly additionalProperties?: boolean;
  readonly maximum?: number;
}

/** Every breach, with its place; empty if the value is as described. A keyword that is not known here is a breach too. */
export function breaches(value: unknown, schema: JsonSchema, named: Readonly<Record<string, JsonSchema>>, at = "$"): string[] {
  const { $ref, anyOf } = schema;
  if ($ref !== undefined) return breaches(value, named[$ref.slice($ref.lastIndexOf("/") + 1)] ?? { type: `nothing: ${$ref} is not described` }, named, at);
  if (anyOf) return anyOf.some((one) => breaches(value, one, named, at).length === 0) ? [] : [`${at}: ${JSON.stringify(value)} is none of those described`];
  if (schema.enum && !schema.enum.includes(value as string)) return [`${at}: ${JSON.stringify(value)} is not among ${schema.enum.join(", ")}`];
  switch (schema.type) {
    case "array":
      return Array.isArray(value) ? value.flatMap((item, i) => breaches(item, schema.items!, named, `${at}[${i}]`)) : [`${at}: no array`];
    case "object":
      return typeof value === "object" && value !== null ? objectBreaches(value as Record<string, unknown>, schema, named, at) : [`${at}: no object`];
    case "integer":
      return Number.isInteger(value) && (value as number) >= (schema.minimum ?? -Infinity) ? [] : [`${at}: ${String(value)} is no such integer`];
    case "null":
      return value === null ? [] : [`${at}: not null`];
    default:
      return typeof value === schema.type ? [] : [`${at}: ${JSON.stringify(value)} is no ${schema.type}`];
  }
}

function objectBreaches(
  value: Record<string, unknown>,
  { properties, required = [] }: JsonSchema,
  named: Readonly<Record<string, JsonSchema>>,
  at: string,
): string[] {
  if (!properties) return [];
  return [
    ...required.filter((name) => !(name in value)).map((name) => `${at}.${name}: missing`),
    ...Object.keys(value)
      .filter((name) => !(name in properties))
      .map((name) => `${at}.${name}: not described`),
    ...Object.entries(value).flatMap(([name, inner]) => (properties[name] ? breaches(inner, properties[name], named, `${at}.${name}`) : [])),
  ];
}
