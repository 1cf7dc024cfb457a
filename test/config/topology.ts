/** Documents for the tests of this room: one that works, and ways to spoil it. */
import { parseDocument } from "#config/parse.ts";
import { printProblem } from "#config/problem.ts";
import type { Document } from "#config/schema.ts";

/** The document of the README; line numbers of the tables count on it. */
export const quickstart = `podway: 1
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
  - { name: tor-a, address: 10.0.0.1, asn: 65001, nodes: "rack == 'a'", import: [default-route], export: [pods] }
policies:
  own: { rules: [{ when: { prefixes: [10.42.0.0/16, { prefix: 10.43.0.0/16, ge: 24 }] }, then: accept, set: { communities: ["64512:42", no-export] } }] }
lab:
  kinds: { bird: { config: bird-tor.conf } }
  nodes: { tor-a: { kind: bird }, etcd: { kind: etcd }, sw0: { kind: bridge } }
  links: [ { endpoints: ["n1:eth1", "sw0:p1"] } ]
`;

/** `text` with the first `from` replaced; it must be there. */
export function spoil(text: string, from: string, to: string): string {
  if (!text.includes(from)) throw new Error(`the document does not contain ${from}`);
  return text.replace(from, () => to);
}

/** Every problem and warning of a document, printed. */
export function problemsOf(text: string): readonly string[] {
  const parsed = parseDocument(text, "q.yaml");
  return (parsed.ok ? parsed.value.warnings : parsed.fault.problems).map(printProblem);
}

/** A document that must be good. */
export function goodDocument(text: string): Document {
  const parsed = parseDocument(text, "q.yaml");
  if (!parsed.ok) throw new Error(parsed.fault.text);
  return parsed.value.document;
}
