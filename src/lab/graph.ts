/** A lab as a Mermaid graph: machines are boxes, links are lines. Pure. */
import { labMachines } from "#config/lab-schema.ts";
import type { LabDocument } from "./plan.ts";

/** Text of a Mermaid `graph`, one line per machine and link. */
export function mermaid(document: LabDocument): string {
  const machines = labMachines(document.lab, { nodes: Object.keys(document.nodes), pools: [] });
  const id = (name: string): string => `m_${name.replaceAll(/[^a-z0-9]/g, "_")}`;
  const boxes = machines.map(({ name, kind }) => `  ${id(name)}["${name} (${kind})"]`);
  const lines = (document.lab.links ?? []).map(({ endpoints }) => {
    const [a, b] = endpoints.map((endpoint) => endpoint.split(":")) as [[string, string], [string, string]];
    return `  ${id(a[0])} ---|"${a[1]} ${b[1]}"| ${id(b[0])}`;
  });
  const pods = machines.flatMap(({ name, node, pool }) => (node === undefined ? [] : [`  ${id(node)} -.-|"${pool ?? "pod"}"| ${id(name)}`]));
  return `${["graph TD", ...boxes, ...lines, ...pods].join("\n")}\n`;
}
