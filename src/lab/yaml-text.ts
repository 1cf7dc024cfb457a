/** Values → YAML in block style, as a person would write it; strings that YAML would read as something else are quoted. */
export type Yaml = string | number | boolean | readonly Yaml[] | { readonly [key: string]: Yaml };

/** YAML 1.2 text of `value`, closed by a newline. */
export function printYaml(value: { readonly [key: string]: Yaml }): string {
  return `${isEmpty(value) ? "{}" : mapLines(value).join("\n")}\n`;
}

function mapLines(map: { readonly [key: string]: Yaml }): string[] {
  return Object.entries(map).flatMap(([key, value]) => {
    if (typeof value !== "object" || isEmpty(value)) return [`${scalar(key)}: ${inline(value)}`];
    if (isList(value)) return [`${scalar(key)}:`, ...listLines(value).map((line) => `  ${line}`)];
    return [`${scalar(key)}:`, ...mapLines(value).map((line) => `  ${line}`)];
  });
}

function listLines(list: readonly Yaml[]): string[] {
  return list.flatMap((item) => {
    if (typeof item !== "object" || isEmpty(item)) return [`- ${inline(item)}`];
    const lines = isList(item) ? listLines(item) : mapLines(item);
    return lines.map((line, i) => `${i === 0 ? "-" : " "} ${line}`);
  });
}

function inline(value: Yaml): string {
  if (typeof value === "string") return scalar(value);
  return typeof value === "object" ? (isList(value) ? "[]" : "{}") : String(value);
}

/** Plain only where no reader of YAML 1.1 or 1.2 can see a number, a boolean, a mapping or a comment in it. */
function scalar(text: string): string {
  const plain = /^([A-Za-z]|\.?\/)[A-Za-z0-9./_-]*$/.test(text) && !/^(true|false|yes|no|on|off|null|y|n|e[0-9]+)$/i.test(text);
  return plain ? text : JSON.stringify(text);
}

function isList(value: Yaml): value is readonly Yaml[] {
  return Array.isArray(value);
}
function isEmpty(value: Yaml): boolean {
  return typeof value === "object" && Object.keys(value).length === 0;
}
