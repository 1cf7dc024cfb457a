/** The calls of libnetwork's remote drivers, as a table: path → what is done, and how a fault is written. */
import { type Fault, FaultError } from "#base/fault.ts";
import type { PodControl } from "#daemon/pod-control.ts";
import { type Body, readBody } from "./body.ts";
import { addressSpace, IpamDriver } from "./ipam-driver.ts";
import { NetworkDriver } from "./network-driver.ts";
import type { DockerState } from "./state.ts";

export interface Reply {
  readonly status: 200 | 404;
  readonly body: object;
}
type Call = (body: Body) => object | Promise<object>;

export interface CallParts {
  readonly pods: PodControl;
  readonly state: DockerState;
  /** Seconds of the wall clock. */
  readonly now: () => number;
  /** What went wrong by a fault of ours. */
  readonly broken: (path: string, error: unknown) => void;
}

const nothing: Call = () => ({});

/** Never rejects. A call that is not in the table is 404, which dockerd takes for an older plugin. */
export function createCalls(parts: CallParts): (path: string, text: string) => Promise<Reply> {
  const table = tableOf(new NetworkDriver(parts.pods, parts.state), new IpamDriver(parts.pods, parts.state, parts.now));
  return async (path, text) => {
    const call = table[path];
    if (call === undefined) return { status: 404, body: sayFault(path, "there is no such call") };
    try {
      return { status: 200, body: await call(readBody(text)) };
    } catch (error) {
      if (error instanceof FaultError) return { status: 200, body: sayFault(path, sentenceOf(error.fault)) };
      parts.broken(path, error);
      return { status: 200, body: sayFault(path, "podwayd has a fault of its own here; its log says more") };
    }
  };
}

/** The two halves of the protocol write a fault under different names. */
export const sayFault = (path: string, text: string): object => (path.startsWith("/IpamDriver.") ? { Error: text } : { Err: text });

function tableOf(network: NetworkDriver, ipam: IpamDriver): Readonly<Record<string, Call>> {
  return {
    "/Plugin.Activate": () => ({ Implements: ["NetworkDriver", "IpamDriver"] }),
    // A network is this machine's name for a pool; who is in it reaches the pods of other machines.
    "/NetworkDriver.GetCapabilities": () => ({ Scope: "local", ConnectivityScope: "global" }),
    "/NetworkDriver.AllocateNetwork": () => ({ Options: {} }),
    "/NetworkDriver.FreeNetwork": nothing,
    "/NetworkDriver.CreateNetwork": (body) => network.createNetwork(body),
    "/NetworkDriver.DeleteNetwork": (body) => network.deleteNetwork(body),
    "/NetworkDriver.CreateEndpoint": (body) => network.createEndpoint(body),
    "/NetworkDriver.EndpointOperInfo": (body) => network.operationalInfo(body),
    "/NetworkDriver.DeleteEndpoint": (body) => network.deleteEndpoint(body),
    "/NetworkDriver.Join": (body) => network.join(body),
    "/NetworkDriver.Leave": (body) => network.leave(body),
    "/NetworkDriver.ProgramExternalConnectivity": nothing,
    "/NetworkDriver.RevokeExternalConnectivity": nothing,
    "/NetworkDriver.DiscoverNew": nothing,
    "/NetworkDriver.DiscoverDelete": nothing,
    // A MAC address tells an endpoint's request from that of an auxiliary address, and names who comes back.
    "/IpamDriver.GetCapabilities": () => ({ RequiresMACAddress: true, RequiresRequestReplay: false }),
    "/IpamDriver.GetDefaultAddressSpaces": () => ({ LocalDefaultAddressSpace: addressSpace, GlobalDefaultAddressSpace: addressSpace }),
    "/IpamDriver.RequestPool": (body) => ipam.requestPool(body),
    "/IpamDriver.ReleasePool": nothing,
    "/IpamDriver.RequestAddress": (body) => ipam.requestAddress(body),
    "/IpamDriver.ReleaseAddress": (body) => ipam.releaseAddress(body),
  };
}

const sentenceOf = ({ text }: Fault): string => text.replaceAll(/\s+/g, " ").trim();
