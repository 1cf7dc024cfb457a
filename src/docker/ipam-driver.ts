/**
 * The address half of the plugin (libnetwork docs/ipam.md). A Docker pool is a pool of the document: its id says which, so that asking
 * again is the same answer and nothing has to be counted. An address is given to whoever asks, and passes to the endpoint when Docker
 * names one (network-driver.ts).
 */
import { createHash } from "node:crypto";
import { type Fault, FaultError, type Outcome } from "#base/fault.ts";
import { type Family, familyOf, type Ip, parseIp, parseMac } from "#base/ip.ts";
import { contains, parsePrefix, type Prefix, prefixFamily } from "#base/prefix.ts";
import type { AddressView, PodControl, PoolView } from "#daemon/pod-control.ts";
import { type Body, flagIn, objectIn, refuse, textIn } from "./body.ts";
import { limits } from "./limits.ts";
import type { DockerState } from "./state.ts";

/** Whose addresses are that Docker has asked for and not yet put on an endpoint; `AllocationView.network` of them. */
export const pendingNetwork = "docker";
/** Docker's word for what a pool belongs to: ours are Podway's. */
export const addressSpace = "podway";
/** Owner of what is kept back for a network: gateways and auxiliary addresses. */
export const keptOwner = "docker/network";
/** Label of an address that `--ip` or `--ip6` chose. */
export const staticLabel = { docker: "static" } as const;
/** Every link's gateway until its network has one of its own; it is no address of a pool, and on no wire. */
export const gatewayText = { 4: "169.254.1.1/32", 6: "fe80::1/128" } as const;
const everything = "0.0.0.0/0";
const option = { mac: "com.docker.network.endpoint.macaddress", kind: "RequestAddressType", gateway: "com.docker.network.gateway" } as const;

export class IpamDriver {
  readonly #pods: PodControl;
  readonly #state: DockerState;
  /** Seconds of the wall clock. */
  readonly #now: () => number;

  constructor(pods: PodControl, state: DockerState, now: () => number) {
    this.#pods = pods;
    this.#state = state;
    this.#now = now;
  }

  requestPool(body: Body): object {
    const options = objectIn(body, "Options"),
      family: Family = flagIn(body, "V6") ? 6 : 4;
    const named = textIn(options, family === 6 && options["pool6"] !== undefined ? "pool6" : "pool");
    const asked = textIn(body, "Pool"),
      range = textIn(body, "SubPool"),
      namespace = textIn(options, "namespace");
    const found = choose(this.#pods.pools(), family, { named, asked });
    if (range !== "") checkRange(range, found.pool);
    if (/[\s/]/.test(namespace)) refuse("bad-option", `namespace ${JSON.stringify(namespace)} must be one word without "/"`);
    const id = `${found.pool.name}/${found.cidr}${namespace === "" ? "" : `/${namespace}`}`;
    // A subnet that nobody asked for is compared with this machine's routes, those of pods among them, and asked for anew for ever if
    // it overlaps one (libnetwork network.go, requestPoolHelper); one of all addresses is not.
    const told = asked === "" && family === 4 ? everything : found.cidr;
    return { PoolID: id, Pool: told, Data: { [option.gateway]: gatewayText[family] } };
  }

  async requestAddress(body: Body): Promise<object> {
    const { pool, namespace } = this.#poolOf(textIn(body, "PoolID"));
    const options = objectIn(body, "Options"),
      text = textIn(body, "Address");
    const asked = text === "" ? undefined : readIp(text);
    const family = prefixFamily(pool.cidr);
    if (textIn(options, option.kind) === option.gateway) return this.#gateway(pool, asked);
    const mac = textIn(options, option.mac);
    // Docker sends a MAC address for every endpoint, since we require it: without one it keeps an auxiliary address from us.
    if (mac === "" && asked !== undefined) return this.#keep(asked, "an auxiliary address of a Docker network");
    if (mac !== "" && parseMac(mac) === undefined) refuse("bad-request", `${mac} is no MAC address`);
    const owner = ownerOf(mac),
      isReturning = mac !== "" && this.#pods.addresses({ owner }).length > 0;
    const granted = need(
      await this.#pods.allocate({
        ...this.#pendingKey(`${pool.name} ${text} ${mac}`),
        network: pendingNetwork,
        pools: [pool.name],
        ...(asked !== undefined && { addresses: [asked], labels: staticLabel }),
        ...(mac !== "" && { mac }),
        ...(isReturning && { owner }),
        ...(namespace !== undefined && { namespace }),
      }),
    );
    return { Address: `${granted.addresses[0]!.address}/${family === 4 ? 32 : 128}`, Data: {} };
  }

  /** Frees what is still nobody's but Docker's. An endpoint's address goes with its endpoint; one that is another's by now stays. */
  async releaseAddress(body: Body): Promise<object> {
    const text = textIn(body, "Address");
    const address = readIp(text);
    const holder = this.#holderOf(address);
    if (holder === null) return {};
    if (holder.state === "reserved" && holder.owner === keptOwner) need(await this.#pods.unreserve({ address }));
    const { containerId, ifname, network } = holder;
    if (holder.state !== "used" || containerId === null || ifname === null) return {};
    if (network === pendingNetwork) need(await this.#pods.release({ containerId, ifname }));
    // We ended between making the link and writing the endpoint down, and Docker gave it up.
    else if (network?.startsWith(`${pendingNetwork}-`) === true && this.#state.content.endpoints[containerId] === undefined)
      need(await this.#pods.detach({ containerId, ifname }));
    return {};
  }

  #gateway(pool: PoolView, asked: Ip | undefined): Promise<object> | object {
    const family = prefixFamily(pool.cidr);
    if (asked === undefined) return { Address: gatewayText[family], Data: {} };
    const isOfLink = asked.startsWith("169.254.") || asked.startsWith("fe80:");
    return isOfLink ? { Address: `${asked}/${family === 4 ? 32 : 128}`, Data: {} } : this.#keep(asked, "the gateway of a Docker network");
  }

  async #keep(address: Ip, reason: string): Promise<object> {
    const holder = this.#holderOf(address);
    if (holder !== null && holder.state !== "cooling" && holder.state !== "kept")
      refuse("taken", `${address} cannot be ${reason}: it is ${holder.state}; podway ip who ${address} says by whom`);
    need(await this.#pods.reserve({ address, owner: keptOwner, reason }));
    return { Address: `${address}/${familyOf(address) === 4 ? 32 : 128}`, Data: {} };
  }

  #holderOf(address: Ip): AddressView | null {
    return need(this.#pods.who(address)).holder;
  }

  #poolOf(id: string): { readonly pool: PoolView; readonly namespace: string | undefined } {
    const [name, address, length, namespace] = id.split("/");
    const pool = this.#pods.pools().find((each) => each.name === name);
    if (pool === undefined || length === undefined || !overlaps(pool, `${address}/${length}`))
      return refuse("no-such-pool", `pool ${id.slice(0, 80)} of this Docker network is no longer declared; remove the network and create it again`);
    return { pool, namespace };
  }

  /**
   * The same for a request that dockerd sends again, so that an answer that was lost costs no address. A key with an older address is of
   * a container that happens to have the same MAC address.
   */
  #pendingKey(what: string): { readonly containerId: string; readonly ifname: string } {
    for (let attempt = 0; ; attempt++) {
      const hash = createHash("sha256").update(`${what} ${attempt}`).digest("hex").slice(0, 24);
      const key = { containerId: `docker.${hash}`, ifname: "pending" };
      const held = this.#pods.addresses({}).find(({ containerId }) => containerId === key.containerId);
      if (held === undefined || this.#now() - Date.parse(held.since) / 1000 < limits.againSeconds) return key;
    }
  }
}

/** Who has the same address back: a container whose MAC address its user chose. */
export const ownerOf = (mac: string): string => `docker/${mac.toLowerCase()}`;

/** The value, or its fault thrown for dockerd to hear. */
export function need<T>(outcome: Outcome<T, Fault>): T {
  if (outcome.ok) return outcome.value;
  throw new FaultError(outcome.fault);
}

export function readIp(text: string): Ip {
  return parseIp(text.split("/")[0]!) ?? refuse("bad-request", `${JSON.stringify(text.slice(0, 60))} is not an IP address`);
}

const overlaps = (pool: PoolView, cidr: string): boolean => cidr === pool.cidr || cidr === pool.nodeCidr;

/** The pool a network stands on: by name, by its CIDR or this node's part of it, or the first of the family. */
function choose(
  pools: readonly PoolView[],
  family: Family,
  { named, asked }: { readonly named: string; readonly asked: string },
): { readonly pool: PoolView; readonly cidr: string } {
  const all = pools.filter(({ cidr }) => prefixFamily(cidr) === family);
  const list = all.map(({ name, cidr }) => `${name} ${cidr}`).join(", ") || `none for IPv${family}`;
  const fitting = named === "" ? all : all.filter(({ name }) => name === named);
  if (fitting.length === 0) return refuse("no-such-pool", `there is no IPv${family} pool${named === "" ? "" : ` ${named}`}; pools here are: ${list}`);
  if (asked === "") return { pool: fitting[0]!, cidr: fitting[0]!.cidr };
  const subnet = parsePrefix(asked) ?? refuse("bad-request", `${asked} is no subnet: write a CIDR without host bits, such as ${fitting[0]!.cidr}`);
  const pool = fitting.find((each) => overlaps(each, subnet));
  if (pool !== undefined) return { pool, cidr: subnet };
  const around = all.find(({ cidr }) => contains(cidr as Prefix, subnet));
  if (around === undefined) return refuse("no-such-pool", `subnet ${subnet} is no pool; pools here are: ${list}`);
  const own = around.nodeCidr === null ? "" : `, or this node's part of it, ${around.nodeCidr}`;
  return refuse("no-such-pool", `subnet ${subnet} lies in pool ${around.name} but is not it: give the whole of it, ${around.cidr}${own}`);
}

/** A node hands out of its own CIDR, whatever part of the pool a network names: a narrower range would be ignored, so it is refused. */
function checkRange(text: string, pool: PoolView): void {
  const range = parsePrefix(text) ?? refuse("bad-request", `${text} is no range: write a CIDR without host bits`);
  if (contains(range, (pool.nodeCidr ?? pool.cidr) as Prefix)) return;
  refuse("bad-option", `--ip-range ${range} is narrower than what this node hands out; set pods.ranges of pool ${pool.name} in the document instead`);
}
