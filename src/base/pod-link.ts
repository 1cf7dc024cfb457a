/** A pod's link as a value: what it should be, and the steps that make it. The node's end is in our namespace, the pod's in its own or still in ours. */
import type { Ip, Mac } from "./ip.ts";
import type { Prefix } from "./prefix.ts";

/** A port of the node that leads into a pod. */
export interface PodPort {
  readonly hostPort: number;
  readonly containerPort: number;
  readonly protocol: "tcp" | "udp" | "sctp";
  /** Only at this address of the node; absent: at all of them. */
  readonly hostIp?: Ip;
}

/** What one direction of a link carries at most. */
export interface PodRate {
  readonly bitsPerSecond: number;
  /** Octets that may pass at once after a pause. */
  readonly burst: number;
}

/** `ingress`: to the pod; `egress`: from it. */
export interface PodBandwidth {
  readonly ingress?: PodRate;
  readonly egress?: PodRate;
}

export interface PodLink {
  readonly hostDevice: string;
  readonly hostMac: Mac;
  /** IFLA_IFALIAS of the node's end: whose it is, for people and for `podway ip check`. */
  readonly alias: string;
  readonly device: string;
  readonly mac: Mac;
  readonly mtu: number;
  readonly addresses: readonly { readonly address: Ip; readonly gateway: Ip }[];
  readonly routes: readonly { readonly destination: Prefix; readonly gateway: Ip }[];
  /** Ports of the node lead to it, those of its loopback addresses too. */
  readonly isPublished?: boolean;
  readonly bandwidth?: PodBandwidth;
}

export type Side = "node" | "pod";

export type PodLinkStep =
  | { readonly do: "pair"; readonly link: PodLink }
  | { readonly do: "sysctl"; readonly side: Side; readonly path: string; readonly value: string }
  | {
      readonly do: "address";
      readonly side: Side;
      readonly device: string;
      readonly address: Ip;
      readonly length: number;
      /** `host`: it answers on the link and is never chosen as a source. */
      readonly scope: "universe" | "link" | "host";
    }
  | { readonly do: "up"; readonly side: Side; readonly device: string; readonly alias?: string }
  /** What leaves by the device. */
  | { readonly do: "rate"; readonly side: Side; readonly device: string; readonly rate: PodRate }
  | { readonly do: "neighbour"; readonly side: Side; readonly device: string; readonly address: Ip; readonly mac: Mac }
  /** `gateway` undefined: on the link. */
  | { readonly do: "route"; readonly side: Side; readonly device: string; readonly prefix: Prefix; readonly gateway: Ip | undefined };
