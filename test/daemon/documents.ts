/** Documents for daemons that listen on a loopback address: node rr reflects, so that no kernel table is touched. */

export interface Wanted {
  readonly port: number;
  /** Value of `store:`; `none` if left out. */
  readonly store?: string;
  /** Lines at the end. */
  readonly more?: string;
}

/** Line numbers of the tables count on it. */
export function loopbackDocument({ port, store = "none", more = "" }: Wanted): string {
  return `podway: 1
name: loopback
asn: 64512
store: ${store}
reflection: off
listen: { address: 127.0.0.1, port: ${port} }
timers: { connectRetry: 1s }
pools:
${store === "none" ? "  []" : "  - { name: routed, cidr: 10.42.0.0/16, backend: bgp }\n  - { name: overlay, cidr: 10.43.0.0/16, backend: vxlan, vni: 43 }"}
nodes:
  rr: { address: 10.0.0.1, roles: [reflector] }
  n1: { address: 10.0.0.21 }
peers:
  - { name: c1, address: 127.0.0.11, asn: 64512, client: true, passive: true, nodes: "node == 'rr'" }
  - { name: ext, address: 127.0.0.12, asn: 65001, passive: true, multihop: 2, import: [all], export: [all], nodes: "node == 'rr'" }
  - { name: clients, range: 127.1.0.0/16, asn: 64512, client: true, limit: 50, nodes: "node == 'rr'" }
${more}`;
}

/** `text` with the first `from` replaced; it must be there. */
export function changed(text: string, from: string, to: string): string {
  if (!text.includes(from)) throw new Error(`the document does not contain ${from}`);
  return text.replace(from, () => to);
}
