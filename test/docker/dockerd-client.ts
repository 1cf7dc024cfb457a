/** Speaks to the plugin socket as dockerd 20.10 does: one POST per call, an empty Host, no content type, bodies as captured from it. */
import { createHash, randomBytes } from "node:crypto";
import { connect } from "node:net";

export type Answer = Readonly<Record<string, unknown>> & { readonly Err?: string; readonly Error?: string };

/** Raw HTTP, since no client of Node sends an empty Host. */
export function call(socket: string, path: string, body?: unknown): Promise<Answer> {
  const text = body === undefined ? "" : typeof body === "string" ? body : JSON.stringify(body);
  const head = `POST /${path} HTTP/1.1\r\nHost: \r\nUser-Agent: Go-http-client/1.1\r\nContent-Length: ${Buffer.byteLength(text)}\r\nAccept: application/vnd.docker.plugins.v1.2+json\r\nConnection: close\r\n\r\n`;
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const stream = connect(socket, () => stream.write(head + text));
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.once("error", reject);
    stream.once("end", () => {
      const [, content] = Buffer.concat(chunks).toString().split("\r\n\r\n", 2);
      try {
        resolve(JSON.parse(content ?? "") as Answer);
      } catch {
        reject(new Error(`no answer to ${path}: ${Buffer.concat(chunks).toString().slice(0, 200)}`));
      }
    });
  });
}

export const newId = (): string => createHash("sha256").update(randomBytes(16)).digest("hex");
export const newMac = (): string => `02:42:${[...randomBytes(4)].map((octet) => octet.toString(16).padStart(2, "0")).join(":")}`;

export interface Network {
  readonly id: string;
  readonly pools: readonly { readonly id: string; readonly family: 4 | 6 }[];
}
export interface Endpoint {
  readonly network: Network;
  readonly id: string;
  readonly mac: string;
  readonly addresses: readonly string[];
  readonly created: Answer;
}
export interface Wish {
  readonly ip?: string;
  readonly ip6?: string;
  /** Chosen by the user, as `--mac-address`. */
  readonly mac?: string;
}

/** The order of calls of one dockerd: what it does for a command, and in which order it undoes it when one call fails. */
export class DockerdClient {
  readonly #socket: string;

  constructor(socket: string) {
    this.#socket = socket;
  }

  call(path: string, body?: unknown): Promise<Answer> {
    return call(this.#socket, path, body);
  }
  /** The answer; throws its error as dockerd would tell it. */
  async need(path: string, body?: unknown): Promise<Answer> {
    const answer = await this.call(path, body);
    const error = answer.Err ?? answer.Error;
    if (error !== undefined) throw new Error(error);
    return answer;
  }

  /** `docker network create -d podway --ipam-driver podway [--ipv6] [--internal]`; `pools`: one request for each. */
  async createNetwork(pools: readonly { readonly V6: boolean; readonly Pool?: string; readonly Options?: object }[], isInternal = false): Promise<Network> {
    const id = newId();
    const made: { readonly id: string; readonly family: 4 | 6; readonly data: object }[] = [];
    for (const { V6, Pool = "", Options = {} } of pools) {
      const { PoolID, Pool: cidr, Data } = await this.need("IpamDriver.RequestPool", { AddressSpace: "podway", Pool, SubPool: "", Options, V6 });
      const gateway = (Data as Record<string, string>)["com.docker.network.gateway"];
      made.push({ id: PoolID as string, family: V6 ? (6 as const) : (4 as const), data: { AddressSpace: "podway", Gateway: gateway, Pool: cidr } });
    }
    const data = (family: 4 | 6): object[] => made.filter((each) => each.family === family).map((each) => each.data);
    await this.need("NetworkDriver.CreateNetwork", {
      NetworkID: id,
      Options: {
        "com.docker.network.enable_ipv6": data(6).length > 0,
        "com.docker.network.generic": {},
        ...(isInternal && { "com.docker.network.internal": true }),
      },
      IPv4Data: data(4),
      IPv6Data: data(6),
    });
    return { id, pools: made };
  }
  async removeNetwork({ id, pools }: Network): Promise<void> {
    for (const pool of pools) await this.need("IpamDriver.ReleasePool", { PoolID: pool.id });
    await this.need("NetworkDriver.DeleteNetwork", { NetworkID: id });
  }

  /** Until CreateEndpoint; a fault gives the addresses back. */
  async createEndpoint(network: Network, { ip = "", ip6 = "", mac: chosen }: Wish = {}): Promise<Endpoint> {
    const mac = chosen ?? newMac(),
      id = newId();
    const taken: { readonly pool: string; readonly address: string }[] = [];
    try {
      for (const { id: pool, family } of network.pools) {
        const Options = { "com.docker.network.endpoint.macaddress": mac };
        const { Address } = await this.need("IpamDriver.RequestAddress", { PoolID: pool, Address: family === 4 ? ip : ip6, Options });
        taken.push({ pool, address: Address as string });
      }
      const at = (family: 4 | 6): string => taken[network.pools.findIndex((pool) => pool.family === family)]?.address ?? "";
      const created = await this.need("NetworkDriver.CreateEndpoint", {
        NetworkID: network.id,
        EndpointID: id,
        Interface: { Address: at(4), AddressIPv6: at(6), MacAddress: mac },
        Options: {
          "com.docker.network.endpoint.exposedports": [],
          "com.docker.network.portmap": [],
          ...(chosen !== undefined && { "com.docker.network.endpoint.macaddress": Buffer.from(chosen.replaceAll(":", ""), "hex").toString("base64") }),
        },
      });
      return { network, id, mac, addresses: taken.map(({ address }) => address), created };
    } catch (cause) {
      for (const { pool, address } of taken) await this.need("IpamDriver.ReleaseAddress", { PoolID: pool, Address: address.split("/")[0] });
      throw cause;
    }
  }
  async join({ network, id }: Endpoint, sandbox: string): Promise<Answer> {
    const joined = await this.need("NetworkDriver.Join", { NetworkID: network.id, EndpointID: id, SandboxKey: sandbox, Options: {} });
    await this.need("NetworkDriver.ProgramExternalConnectivity", { NetworkID: network.id, EndpointID: id, Options: {} });
    return joined;
  }
  /** As after a stop, or after a crash: everything is told again, whatever is left of it. */
  async drop({ network, id, addresses }: Endpoint): Promise<void> {
    const which = { NetworkID: network.id, EndpointID: id };
    for (const method of ["RevokeExternalConnectivity", "Leave", "DeleteEndpoint"]) await this.need(`NetworkDriver.${method}`, which);
    for (const [at, address] of addresses.entries())
      await this.need("IpamDriver.ReleaseAddress", { PoolID: network.pools[at]!.id, Address: address.split("/")[0] });
  }
}
