/** Documents for daemons on the loopback interface: reflectors, so that no kernel table is touched. */

/** A reflector on 127.0.0.1 with dynamic clients and one configured client; `more` goes to the end. */
export function reflectorDocument(port: number, more = "", store = "none"): string {
  return `podway: 1
name: loopback
asn: 64512
store: ${store}
reflection: off
listen: { address: 127.0.0.1, port: ${port} }
nodes:
  rr: { address: 127.0.0.1, routerId: 10.0.0.1, roles: [reflector] }
peers:
  - { name: c1, address: 127.0.0.11, asn: 64512, client: true, passive: true }
  - { name: ext, address: 127.0.0.12, asn: 65001, passive: true, import: [all], export: [all], multihop: 2 }
  - { name: clients, range: 127.1.0.0/16, asn: 64512, client: true, limit: 50 }
${more}`;
}
