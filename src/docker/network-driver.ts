/**
 * The network half of the plugin (libnetwork docs/remote.md). A network is a name for pools; an endpoint is an attachment whose
 * container end dockerd moves and sets up. Deletes succeed on what is not there: dockerd sends them again, and for what a crash left.
 */
import { type Family, familyOf, type Ip, printMac } from "#base/ip.ts";
import { contains, overlaps, parsePrefix, type Prefix, prefixFamily } from "#base/prefix.ts";
import type { AttachmentKey, AttachmentView, PodControl, PoolView } from "#daemon/pod-control.ts";
import { type Body, flagIn, idIn, objectIn, objectsIn, refuse, textIn } from "./body.ts";
import { addressSpace, keptOwner, need, ownerOf, pendingNetwork, readIp, staticLabel } from "./ipam-driver.ts";
import { limits } from "./limits.ts";
import { type PortMapping, readPorts } from "./ports.ts";
import { type Content, type DockerState, type EndpointRecord, type NetworkRecord, withEndpoint, withNetwork } from "./state.ts";

const option = {
  generic: "com.docker.network.generic",
  isInternal: "com.docker.network.internal",
  mtu: "com.docker.network.driver.mtu",
  mac: "com.docker.network.endpoint.macaddress",
} as const;
/** libnetwork's types.NEXTHOP and types.CONNECTED. */
const routeType = { nextHop: 0, connected: 1 } as const;
/** Docker names the container's end itself: `eth` and the next number. */
const prefixOfDevice = "eth";
const keyOf = (endpoint: string): AttachmentKey => ({ containerId: endpoint, ifname: "eth0" });

export class NetworkDriver {
  readonly #pods: PodControl;
  readonly #state: DockerState;

  constructor(pods: PodControl, state: DockerState) {
    this.#pods = pods;
    this.#state = state;
  }

  async createNetwork(body: Body): Promise<object> {
    const id = idIn(body, "NetworkID"),
      options = objectIn(body, "Options"),
      generic = objectIn(options, option.generic);
    const perFamily = [
      { family: 4, data: objectsIn(body, "IPv4Data") },
      { family: 6, data: objectsIn(body, "IPv6Data") },
    ] as const;
    const families = perFamily.filter(({ data }) => data.length > 0);
    const cidrs = families.flatMap(({ data }) => data.flatMap((each) => cidrOf(textIn(each, "Pool"), textIn(each, "AddressSpace"))));
    const isInternal = flagIn(options, option.isInternal),
      mtu = readMtu(textIn(generic, option.mtu)),
      namespace = textIn(generic, "namespace");
    const asked = families.map(({ family, data }) => ({ family, gateway: this.#ownGateway(textIn(data[0]!, "Gateway")) }));
    await this.#state.update((content) => {
      const number = content.networks[id]?.number ?? freeNumber(content);
      const record: NetworkRecord = {
        number,
        gateways: asked.map(({ family, gateway }) => gateway ?? linkGateway(family, number)),
        isInternal,
        cidrs,
        ...(mtu !== undefined && { mtu }),
        ...(namespace !== "" && { namespace }),
      };
      return withNetwork(content, id, record);
    });
    return {};
  }

  async deleteNetwork(body: Body): Promise<object> {
    const id = idIn(body, "NetworkID");
    const left = Object.entries(this.#state.content.endpoints).filter(([, { network }]) => network === id);
    for (const [endpoint] of left) await this.#remove(endpoint);
    await this.#state.update((content) => withNetwork(content, id, undefined));
    return {};
  }

  /** Fills only what came empty: dockerd takes a field that it has set itself for a fault, the same value too. */
  async createEndpoint(body: Body): Promise<object> {
    const id = idIn(body, "EndpointID"),
      networkId = idIn(body, "NetworkID"),
      network = this.#network(networkId);
    const given = objectIn(body, "Interface"),
      options = objectIn(body, "Options");
    const texts = [textIn(given, "Address"), textIn(given, "AddressIPv6")],
      addresses = texts.filter((text) => text !== "").map(readIp);
    const wanted = this.#wanted(networkId, network, { addresses, given, options }),
      portMappings = readPorts(options, this.#publishedBut(id));
    const view = need(await this.#pods.attach({ ...keyOf(id), ...wanted, portMappings }));
    const record: EndpointRecord = {
      network: networkId,
      addresses: view.addresses.map(({ address }) => address as Ip),
      pools: view.addresses.flatMap(({ pool }) => (this.#pods.pools().find(({ name }) => name === pool)?.cidr as Prefix | undefined) ?? []),
      device: view.containerDevice,
      hostDevice: view.hostDevice,
    };
    try {
      await this.#state.update((content) => withEndpoint(content, id, { ...content.endpoints[id], ...record }));
    } catch (cause) {
      await this.#pods.detach(keyOf(id));
      throw cause;
    }
    return { Interface: filled(view, texts, textIn(given, "MacAddress")) };
  }

  async deleteEndpoint(body: Body): Promise<object> {
    await this.#remove(idIn(body, "EndpointID"));
    return {};
  }

  async join(body: Body): Promise<object> {
    const id = idIn(body, "EndpointID"),
      sandbox = textIn(body, "SandboxKey");
    const network = this.#network(idIn(body, "NetworkID"));
    let joined: EndpointRecord | undefined;
    await this.#state.update((content) => {
      const endpoint = content.endpoints[id] ?? refuse("no-such-endpoint", `endpoint ${id.slice(0, 12)} is not known here; start the container again`);
      joined = { ...endpoint, sandbox, routes: network.isInternal ? routesFor(content, { id, sandbox, pools: endpoint.pools }) : [] };
      return withEndpoint(content, id, joined);
    });
    const families = new Set(joined!.addresses.map(familyOf));
    const gateways = network.gateways.filter((gateway) => families.has(familyOf(gateway)));
    const out = network.isInternal ? [] : gateways;
    const nextHop = (destination: Prefix): Ip | undefined => gateways.find((gateway) => familyOf(gateway) === prefixFamily(destination));
    return {
      InterfaceName: { SrcName: joined!.device, DstPrefix: prefixOfDevice },
      Gateway: out.find((gateway) => familyOf(gateway) === 4) ?? "",
      GatewayIPv6: out.find((gateway) => familyOf(gateway) === 6) ?? "",
      StaticRoutes: [
        // The gateway is in no subnet of a link of one address: it is said to be there.
        ...gateways.map((gateway) => ({ Destination: `${gateway}/${familyOf(gateway) === 4 ? 32 : 128}`, RouteType: routeType.connected })),
        ...joined!.routes!.flatMap((destination) => {
          const via = nextHop(destination);
          return via === undefined ? [] : [{ Destination: destination, RouteType: routeType.nextHop, NextHop: via }];
        }),
      ],
      // Without a way out of its own a container would get one by Docker's bridge.
      DisableGatewayService: network.isInternal,
    };
  }

  async leave(body: Body): Promise<object> {
    const id = idIn(body, "EndpointID");
    await this.#state.update((content) => {
      const endpoint = content.endpoints[id];
      if (endpoint === undefined) return content;
      const { sandbox: _left, routes: _gone, ...rest } = endpoint;
      return withEndpoint(content, id, rest);
    });
    return {};
  }

  operationalInfo(body: Body): object {
    const endpoint = this.#state.content.endpoints[idIn(body, "EndpointID")];
    return { Value: endpoint === undefined ? {} : { "podway.device": endpoint.hostDevice, "podway.addresses": endpoint.addresses.join(" ") } };
  }

  /** A gateway out of the pool, if it is kept for a Docker network; what another IPAM made up may be a pod's here. */
  #ownGateway(text: string): Ip | undefined {
    const gateway = text === "" ? undefined : readIp(text);
    if (gateway === undefined) return undefined;
    const holder = need(this.#pods.who(gateway)).holder;
    return holder?.state === "reserved" && holder.owner === keptOwner ? gateway : undefined;
  }

  #network(id: string): NetworkRecord {
    const known = this.#state.content.networks[id];
    return known ?? refuse("no-such-network", `network ${id.slice(0, 12)} is not known to this node's podwayd; remove it and create it again`);
  }

  #wanted(
    networkId: string,
    network: NetworkRecord,
    { addresses, given, options }: { readonly addresses: readonly Ip[]; readonly given: Body; readonly options: Body },
  ): Omit<Parameters<PodControl["attach"]>[0], "containerId" | "ifname"> {
    const pools = this.#pods.pools();
    const holders = addresses.map((address) => need(this.#pods.who(address)).holder).filter((holder) => holder !== null);
    const takes = holders.flatMap(({ network: of, containerId, ifname }) =>
      of === pendingNetwork && containerId !== null && ifname !== null ? [{ containerId, ifname }] : [],
    );
    const poolIn = ({ cidr }: PoolView): boolean => network.cidrs.length === 0 || network.cidrs.some((each) => overlaps(each, cidr as Prefix));
    const unasked = network.gateways.flatMap((gateway) => pools.find((pool) => prefixFamily(pool.cidr) === familyOf(gateway) && poolIn(pool))?.name ?? []);
    const isStatic = holders.some(({ labels }) => labels["docker"] === staticLabel.docker),
      own = ownMac(options, textIn(given, "MacAddress"));
    const namespace = holders.find((holder) => holder.namespace !== null)?.namespace ?? network.namespace;
    const homes = addresses.flatMap((address) => pools.find(({ nodeCidr }) => nodeCidr !== null && contains(nodeCidr as Prefix, address))?.name ?? []);
    return {
      network: `${pendingNetwork}-${networkId.slice(0, 12)}`,
      addresses,
      pools: addresses.length > 0 ? homes : unasked,
      takes,
      gateways: network.gateways,
      ...(network.mtu !== undefined && { mtu: network.mtu }),
      ...(textIn(given, "MacAddress") !== "" && { mac: textIn(given, "MacAddress") }),
      // Docker tells nobody the container's name. Who chose a MAC address for it has the same address back; a static one needs nobody to keep it.
      ...(own !== undefined && !isStatic && { owner: ownerOf(own) }),
      ...(typeof namespace === "string" && { namespace }),
      labels: { docker: "endpoint", network: networkId },
    };
  }

  /** Ports of this host that other containers here have, whichever door they came by. */
  #publishedBut(endpoint: string): readonly PortMapping[] {
    return this.#pods
      .attachments({})
      .flatMap(({ containerId, portMappings }) =>
        containerId === endpoint ? [] : portMappings.map(({ hostIp, ...mapping }) => ({ ...mapping, ...(hostIp !== null && { hostIp }) })),
      );
  }

  async #remove(endpoint: string): Promise<void> {
    need(await this.#pods.detach(keyOf(endpoint)));
    await this.#state.update((content) => withEndpoint(content, endpoint, undefined));
  }
}

/** IPv4 and IPv6 link-local, on no wire: as many as there are networks, since a container can have links of several. */
const linkGateway = (family: Family, number: number): Ip => (family === 4 ? `169.254.1.${number}` : `fe80::${number.toString(16)}`) as Ip;

function freeNumber({ networks }: Content): number {
  const used = new Set(Object.values(networks).map(({ number }) => number));
  for (let number = 1; number <= limits.networks; number++) if (!used.has(number)) return number;
  return refuse("too-many", `this node has ${limits.networks} Docker networks already; remove one`);
}

function readMtu(text: string): number | undefined {
  if (text === "") return undefined;
  const mtu = Number(text);
  return Number.isInteger(mtu) && mtu >= 68 && mtu <= 65_535 ? mtu : refuse("bad-option", `${option.mtu}=${text} is no MTU: write a number from 68 to 65535`);
}

/** With IPAM `null` a network's pool is 0.0.0.0/0, which says nothing. Docker's own hands out addresses that others here may have. */
function cidrOf(text: string, space: string): readonly Prefix[] {
  const prefix = parsePrefix(text, true);
  if (prefix === undefined || prefix.endsWith("/0")) return [];
  if (space === addressSpace) return [prefix];
  return refuse("foreign-ipam", `the addresses of ${prefix} are handed out by another IPAM driver: create the network with --ipam-driver as with -d`);
}

/**
 * What an endpoint without a way out reaches: its pools, but those another link of the sandbox leads to already, since the kernel refuses a
 * route twice. Whoever has a way out needs none, and Docker would refuse the next link an address that a route of this one covers.
 */
function routesFor(
  content: Content,
  { id, sandbox, pools }: { readonly id: string; readonly sandbox: string; readonly pools: readonly Prefix[] },
): readonly Prefix[] {
  const others = Object.entries(content.endpoints).filter(([other, endpoint]) => other !== id && endpoint.sandbox === sandbox);
  const there = new Set(others.flatMap(([, { routes = [] }]) => routes));
  return [...new Set(pools)].filter((cidr) => !there.has(cidr));
}

/** The MAC address the container's user chose (base64 of six octets), rather than one Docker made up. */
function ownMac(options: Body, mac: string): string | undefined {
  const chosen = options[option.mac];
  if (typeof chosen !== "string") return undefined;
  const octets = Buffer.from(chosen, "base64");
  return octets.length === 6 ? printMac(octets) : mac === "" ? undefined : mac;
}

function filled(view: AttachmentView, [address, address6]: readonly string[], mac: string): object {
  const own = (family: Family): string | undefined => {
    const found = view.addresses.find((each) => familyOf(each.address) === family);
    return found && `${found.address}/${found.length}`;
  };
  const isUnasked = address === "" && address6 === "";
  return {
    ...(isUnasked && own(4) !== undefined && { Address: own(4) }),
    ...(isUnasked && own(6) !== undefined && { AddressIPv6: own(6) }),
    ...(mac === "" && { MacAddress: view.mac }),
  };
}
