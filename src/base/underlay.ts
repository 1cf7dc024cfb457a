/** What the kernel knows beneath our devices: read, never written. The planners choose tunnels and next hops by it. */
import type { Ip } from "./ip.ts";
import type { Prefix } from "./prefix.ts";

/** How the kernel would send a packet to one address now. */
export interface UnderlayPath {
  /** The route that matches. */
  readonly prefix: Prefix;
  /** Empty if the route is a blackhole, unreachable or prohibit. */
  readonly hops: readonly { readonly device: string; readonly gateway: Ip | undefined }[];
  /** The address is one of this machine's. */
  readonly local: boolean;
  /** Octets of the largest packet, the least of all hops. */
  readonly mtu: number;
}

export interface UnderlayLink {
  readonly name: string;
  /** `vxlan`, `veth`, ...; empty for hardware. */
  readonly kind: string;
  readonly mtu: number;
  readonly up: boolean;
  readonly loopback: boolean;
}

export interface Underlay {
  /** Paths of the addresses that were asked for and that have a route. */
  readonly paths: ReadonlyMap<Ip, UnderlayPath>;
  /** Every address of this machine, with its device. */
  readonly addresses: ReadonlyMap<Ip, string>;
  readonly links: ReadonlyMap<string, UnderlayLink>;
  /** Devices over which a router advertisement gave a route: they lose it when IPv6 forwarding is switched on with accept_ra 1. */
  readonly advertised: readonly string[];
}

/** True if the kernel reaches the address on a link of its own, without a gateway. A default route without gateway is no proof. */
export function isOnLink(path: UnderlayPath): boolean {
  return !path.local && !path.prefix.endsWith("/0") && path.hops.length > 0 && path.hops.every((hop) => hop.gateway === undefined);
}
