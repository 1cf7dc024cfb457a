import { parseIp } from "#base/ip.ts";
import { parsePrefix } from "#base/prefix.ts";
import type { NodeSettings, StoreSettings } from "#base/settings.ts";

/** Settings of a node that only leases: one pool `p` of /24s. */
export function driverSettings(of: { readonly url?: string; readonly node: string; readonly cidr: string; readonly holdSeconds: number }): NodeSettings {
  const address = parseIp("10.0.0.1")!;
  const none = { ca: undefined, cert: undefined, key: undefined, username: undefined, password: undefined };
  const store: StoreSettings = of.url === undefined ? { kind: "embedded" } : { kind: "etcd", endpoints: [of.url], prefix: "/podway/t", ...none };
  return {
    cluster: "t",
    node: of.node,
    roles: ["node"],
    asn: 64512,
    routerId: address,
    clusterId: address,
    address,
    address6: undefined,
    labels: {},
    listen: undefined,
    store,
    pools: [
      {
        name: "p",
        cidr: parsePrefix(of.cidr)!,
        family: 4,
        nodePrefix: 24,
        backend: "bgp",
        vni: undefined,
        port: 4789,
        crossSubnet: true,
        mtu: undefined,
        masquerade: false,
        state: "active",
        reservations: {},
      },
    ],
    peers: [],
    ranges: [],
    policies: {},
    kernel: { enabled: true, routeProtocol: 117, metric: 0 },
    lease: { holdSeconds: of.holdSeconds, livenessSeconds: 6, quarantineSeconds: 0 },
    nodes: {},
    originValidation: false,
  };
}
