/** Published ports as dockerd writes them (types.PortBinding of libnetwork) → what an attachment takes. */
import { type Body, objectsIn, refuse } from "./body.ts";
import { limits } from "./limits.ts";

export interface PortMapping {
  readonly hostPort: number;
  readonly containerPort: number;
  readonly protocol: string;
  readonly hostIp?: string;
}

const protocols: Readonly<Record<number, string>> = { 6: "tcp", 17: "udp", 132: "sctp" };
/** IANA's dynamic ports (RFC 6335 §6), where Docker takes a port from that nobody chose. */
const dynamic = { first: 49_153, last: 65_535 } as const;
export const portMapOption = "com.docker.network.portmap";

/** `taken`: ports of this host that other endpoints have published. */
export function readPorts(options: Body, taken: readonly PortMapping[]): readonly PortMapping[] {
  const bindings = objectsIn(options, portMapOption);
  if (bindings.length > limits.ports) refuse("bad-request", `at most ${limits.ports} ports of a container can be published`);
  const mappings: PortMapping[] = [];
  for (const binding of bindings) {
    const protocol = protocols[numberIn(binding, "Proto")] ?? refuse("bad-request", "a port can be published of tcp, udp and sctp alone");
    const hostIp = typeof binding["HostIP"] === "string" && binding["HostIP"] !== "" ? binding["HostIP"] : undefined;
    const first = numberIn(binding, "HostPort"),
      last = Math.max(first, numberIn(binding, "HostPortEnd"));
    const range = first === 0 ? dynamic : { first, last };
    const hostPort = freePort(range, (port) => isFree({ protocol, hostIp, port }, [...taken, ...mappings]));
    if (hostPort === undefined) return refuse("port-taken", `${protocol} port ${first === last ? first : `${range.first}-${range.last}`} is published already`);
    mappings.push({ hostPort, containerPort: numberIn(binding, "Port"), protocol, ...(hostIp !== undefined && { hostIp }) });
  }
  return mappings;
}

function freePort({ first, last }: { readonly first: number; readonly last: number }, isFreeAt: (port: number) => boolean): number | undefined {
  for (let port = first; port <= last; port++) if (isFreeAt(port)) return port;
  return undefined;
}

interface Wanted {
  readonly protocol: string;
  readonly hostIp: string | undefined;
  readonly port: number;
}
const isFree = ({ protocol, hostIp, port }: Wanted, taken: readonly PortMapping[]): boolean =>
  !taken.some((other) => other.protocol === protocol && other.hostPort === port && (isAny(hostIp) || isAny(other.hostIp) || other.hostIp === hostIp));
const isAny = (hostIp: string | undefined): boolean => hostIp === undefined || hostIp === "0.0.0.0" || hostIp === "::";

function numberIn(body: Body, name: string): number {
  const value = body[name] ?? 0;
  const isPort = typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= 65_535;
  return isPort ? value : refuse("bad-request", `${name} of a published port must be a number up to 65535`);
}
