/** Ports of the node that lead into pods: read from strangers, claimed before an attachment is made, in the rules once it is. */
import { type CallerFault, callerFault, failed, type Fault, ok, type Outcome, worldFault } from "#base/fault.ts";
import { familyOf, type Ip, parseIp } from "#base/ip.ts";
import type { PodBandwidth, PodPort, PodRate } from "#base/pod-link.ts";
import type { PodKey, PodRecord } from "#ipam/pod-terms.ts";
import type { PublishedPort } from "#overlay/published-ports.ts";
import type { AttachRequest } from "./pod-control.ts";

const portLimits = { ports: 256, settleMillis: 5_000 } as const;
const protocols = ["tcp", "udp", "sctp"] as const;
const portMost = 65_535;
/** A burst of less than this could hold back a single large packet for ever; and of a hundredth of a second, it would slow a fast link. */
const burst = { least: 65_536, most: 0xffff_ffff, perSecond: 100 } as const;
const rateMost = 2 ** 53;

/** Host port 0 publishes nothing: some runtimes list every port of a container. */
export function readPorts(asked: AttachRequest["portMappings"]): Outcome<readonly PodPort[], CallerFault> {
  const ports: PodPort[] = [];
  for (const { hostPort, containerPort, protocol = "tcp", hostIp } of asked ?? []) {
    const known = protocols.find((each) => each === protocol),
      address = hostIp === undefined || hostIp === "" ? undefined : parseIp(hostIp);
    if (known === undefined) return bad(`a port mapping has the protocol ${JSON.stringify(protocol)}; there are ${protocols.join(", ")}`);
    if (hostPort > portMost || containerPort > portMost || containerPort === 0)
      return bad(`a port mapping leads from ${hostPort} to ${containerPort}; ports are 1 to ${portMost}`);
    if (hostIp !== undefined && hostIp !== "" && address === undefined)
      return bad(`${JSON.stringify(hostIp.slice(0, 60))} of a port mapping is not an IP address`);
    if (hostPort > 0) ports.push({ hostPort, containerPort, protocol: known, ...(address !== undefined && { hostIp: address }) });
  }
  if (ports.length > portLimits.ports) return bad(`a container can have at most ${portLimits.ports} ports of the node`);
  const twice = ports.find((port, i) => ports.slice(0, i).some((other) => overlaps(port, other)));
  return twice === undefined ? ok(ports) : bad(`${portText(twice)} is mapped twice`);
}

/** Rates in bits a second, bursts in bits, as CNI has them; 0 is no limit. */
export function readBandwidth(asked: AttachRequest["bandwidth"]): Outcome<PodBandwidth, CallerFault> {
  const rate = (bitsPerSecond = 0, burstBits = 0): PodRate | undefined => {
    const least = Math.max(burst.least, Math.ceil(bitsPerSecond / 8 / burst.perSecond));
    return bitsPerSecond === 0 ? undefined : { bitsPerSecond, burst: Math.min(burst.most, Math.max(least, Math.ceil(burstBits / 8))) };
  };
  const { ingressRate, ingressBurst, egressRate, egressBurst } = asked ?? {};
  if ([ingressRate, ingressBurst, egressRate, egressBurst].some((each) => (each ?? 0) > rateMost)) return bad("a bandwidth is beyond any link");
  const ingress = rate(ingressRate, ingressBurst),
    egress = rate(egressRate, egressBurst);
  return ok({ ...(ingress && { ingress }), ...(egress && { egress }) });
}

export interface PodPortsOptions {
  /** Takes the whole of them. */
  readonly want: (ports: readonly PublishedPort[]) => void;
  /** Resolves once the rules are as wanted; a sentence if they were not within `millis`. */
  readonly settled: (millis: number) => Promise<string | undefined>;
}

interface Holder {
  readonly key: PodKey;
  readonly ports: readonly PodPort[];
  /** Empty: claimed, and not there yet. */
  readonly addresses: readonly Ip[];
}

export class PodPorts {
  readonly #options: PodPortsOptions;
  readonly #holders = new Map<string, Holder>();

  constructor(options: PodPortsOptions) {
    this.#options = options;
  }

  /** Takes over what the journal has. */
  load(records: Iterable<PodRecord>): void {
    for (const record of records) {
      const { containerId, ifname, state, link } = record;
      if (state !== "used" || link?.ports === undefined || containerId === undefined || ifname === undefined) continue;
      const there = this.#holders.get(keyText({ containerId, ifname }));
      this.#hold({ containerId, ifname }, link.ports, [...(there?.addresses ?? []), record.address]);
    }
    this.#tell();
  }

  /** Keeps ports from others until `follow` says what became of it. A fault names who has one of them. */
  claim(key: PodKey, ports: readonly PodPort[] = []): CallerFault | undefined {
    for (const other of this.#holders.values()) {
      // podman asks for a container's ports with each of its networks; the first leads to it, and the next once that is gone.
      const clash = other.key.containerId === key.containerId ? undefined : ports.find((port) => other.ports.some((held) => overlaps(port, held)));
      if (clash === undefined) continue;
      const whose = `container ${other.key.containerId} (${other.key.ifname})`;
      return callerFault("attach.port-taken", `${portText(clash)} of this node leads to ${whose} already; choose another port, or remove that one first`);
    }
    if (ports.length > 0) this.#hold(key, ports, []);
    return undefined;
  }

  /** The container's interface has these records now; none: it is gone. */
  follow(key: PodKey, records: readonly PodRecord[]): void {
    const ports = records[0]?.link?.ports,
      had = this.#holders.get(keyText(key));
    if (ports !== undefined)
      this.#hold(
        key,
        ports,
        records.map(({ address }) => address),
      );
    else if (had === undefined) return;
    else this.#holders.delete(keyText(key));
    this.#tell();
  }

  /** Resolves once the rules lead to the records' addresses; a fault if they do not. */
  async publish(key: PodKey, records: readonly PodRecord[]): Promise<Fault | undefined> {
    const ports = records[0]?.link?.ports;
    if (ports === undefined) return undefined;
    const lost = ports.find(({ hostIp }) => hostIp !== undefined && !records.some(({ address }) => familyOf(address) === familyOf(hostIp)));
    if (lost !== undefined) return callerFault("ipam.bad-request", `${portText(lost)} cannot lead to a container that has no address of that family`);
    this.follow(key, records);
    const trouble = await this.#options.settled(portLimits.settleMillis);
    return trouble === undefined ? undefined : worldFault("attach.failed", `the ports of the container are not in the packet rules: ${trouble}`);
  }

  #hold(key: PodKey, ports: readonly PodPort[], addresses: readonly Ip[]): void {
    this.#holders.set(keyText(key), { key, ports, addresses });
  }
  #tell(): void {
    this.#options.want([...this.#holders.values()].flatMap(publishedOf));
  }
}

function publishedOf({ ports, addresses }: Holder): readonly PublishedPort[] {
  return ports.flatMap((port) =>
    addresses.flatMap((address) => (port.hostIp === undefined || familyOf(port.hostIp) === familyOf(address) ? [{ ...port, address }] : [])),
  );
}

/** Whether a packet could be for both. Without an address a port is of all addresses of both families. */
function overlaps(a: PodPort, b: PodPort): boolean {
  if (a.hostPort !== b.hostPort || a.protocol !== b.protocol) return false;
  if (a.hostIp === undefined || b.hostIp === undefined || a.hostIp === b.hostIp) return true;
  return familyOf(a.hostIp) === familyOf(b.hostIp) && (isAny(a.hostIp) || isAny(b.hostIp));
}
const isAny = (address: Ip): boolean => address === "0.0.0.0" || address === "::";

const portText = ({ hostPort, protocol, hostIp }: PodPort): string => `port ${hostPort}/${protocol}${hostIp === undefined ? "" : ` at ${hostIp}`}`;
const keyText = ({ containerId, ifname }: PodKey): string => `${containerId} ${ifname}`;
const bad = (text: string): { readonly ok: false; readonly fault: CallerFault } => failed(callerFault("ipam.bad-request", text));
