/** `pools:`, the CIDRs nodes lease from. */
import { z } from "zod";
import { limits } from "./limits.ts";
import { PodPool } from "./pod-schema.ts";
import { AbsolutePath, Cidr, Name, Port } from "./scalar-schema.ts";

export const Pool = z.strictObject({
  name: Name.meta({ description: "Name pods and commands use; the first pool of the list is the default." }),
  cidr: Cidr.meta({ description: "What is divided among the nodes." }),
  nodePrefix: z.int().min(1).max(128).optional().meta({ description: "Prefix length of one node's CIDR; 24 for IPv4 and 64 for IPv6 if left out." }),
  backend: z
    .enum(["bgp", "vxlan", "host-gw"])
    .meta({
      description:
        "`bgp` announces each node's CIDR, `vxlan` tunnels between nodes, `host-gw` sets routes to nodes on the same link; only `bgp` pools travel by BGP.",
    }),
  vni: z.int().min(1).max(16_777_215).optional().meta({ description: "VXLAN network identifier, one per vxlan pool; the device is named pw-vx<vni>." }),
  port: Port.default(4789).meta({ description: "UDP port of VXLAN (RFC 7348)." }),
  crossSubnet: z.boolean().default(true).meta({ description: "vxlan: plain routes between nodes on one link, the tunnel beyond." }),
  mtu: z.int().min(1280).max(65535).optional().meta({ description: "MTU of the pods' links; if left out, what the uplink leaves after encapsulation." }),
  masquerade: z
    .boolean()
    .default(false)
    .meta({
      description:
        "What pods send beyond every pool leaves under their node's address (nftables masquerade); between pods, and from outside to pods, addresses stay.",
    }),
  state: z.enum(["active", "draining"]).default("active").meta({ description: "`draining` hands out no new lease and no new address; what is there stays." }),
  reservations: z.record(Name, Cidr).prefault({}).meta({ description: "Node name → the CIDR kept for it, out of the pool and as long as nodePrefix." }),
  subnetEnv: AbsolutePath.optional().meta({
    description:
      "File on every node that says what it has of this pool, as flannel writes it (`/run/flannel/subnet.env`); an IPv4 pool and an IPv6 pool may share one.",
  }),
  pods: PodPool.prefault({}).meta({ description: "How addresses of this pool are handed out to pods." }),
});

export const Pools = z
  .array(Pool)
  .max(limits.pools)
  .prefault([])
  .meta({ description: "Pools of pod addresses; independent of each other, side by side on every node." });

export type PoolEntry = z.output<typeof Pool>;
