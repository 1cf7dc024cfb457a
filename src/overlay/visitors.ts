/**
 * Single addresses that a node has out of another's CIDR, in overlay and host-gw pools: a host route to that node, the way its own CIDR
 * goes. What the way needs (neighbour, forwarding entry) is there already with the node's CIDR; routed pools hear of it by BGP.
 */
import type { Ip } from "#base/ip.ts";
import { note } from "#base/note.ts";
import { onlyOf } from "./attach.ts";
import { FabricBuilder, type Planned } from "./fabric.ts";
import { directHops, firstAddress, type PoolPlan, remoteLeases } from "./remote.ts";
import { vxlanDevice } from "./vtep.ts";

export interface Visitor {
  readonly address: Ip;
  readonly pool: string;
  /** Where it is. */
  readonly node: string;
}

/** Routes to the pool's visitors on other nodes; a note for each whose node is not reached. */
export function planVisitors(plan: PoolPlan, visitors: Iterable<Visitor>): Planned {
  const into = new FabricBuilder(),
    { pool, self, metric, underlay } = plan;
  const homes = new Map(remoteLeases(plan).map((lease) => [lease.node, lease]));
  for (const { address, node } of visitors) {
    if (node === self.node) continue;
    const home = homes.get(node),
      direct = home === undefined || (pool.backend === "vxlan" && !pool.crossSubnet) ? undefined : directHops(home, underlay);
    const tunnel =
      home === undefined || pool.backend !== "vxlan" ? undefined : [{ device: vxlanDevice(pool.vni!), gateway: firstAddress(home.cidr), onlink: true }];
    const hops = direct ?? tunnel;
    if (hops !== undefined) into.add("route", { prefix: onlyOf(address), metric, hops });
    else {
      const text = `${address} is not reached: node ${node}, which has it, ${home === undefined ? "holds no CIDR of the pool" : "is not on one link with us"}.`;
      into.say(note("warn", "visitor.not-reached", text, { node, pool: pool.name, prefix: onlyOf(address) }));
    }
  }
  return into.done();
}
