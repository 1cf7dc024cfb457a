/**
 * `podway-cni`, and under the name `podway-ipam` the IPAM plugin for other people's links: a CNI plugin (specification 0.1 to
 * 1.1) that asks the daemon and prints what it says. It decides nothing and keeps nothing, so upgrading it is copying one file:
 * `podway cni install` strips its types and writes it where runtimes look. With exchange.ts it becomes one file that imports two
 * modules of Node and nothing of ours, for a runtime waits for every millisecond of it. While no daemon runs, a DEL removes the
 * link itself and leaves a file for the daemon's start (daemon/pod-spool.ts).
 *
 * In: CNI_* of the environment, the network configuration on standard input. Out: a result, or { code, msg, details } and exit 1.
 */
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { CniError, code, codeOf, exchange, NoDaemon } from "./exchange.ts";

const versions = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];
const newest = "1.1.0";
const defaultSocket = "/run/podway/podwayd.sock";
const defaultSpool = "/var/lib/podway/cni-spool";
/** As it stands on standard input. */
interface GivenConfig {
  readonly cniVersion?: string;
  readonly name?: string;
  readonly socket?: string;
  /** Folder for deletions that no daemon could be told. */
  readonly spool?: string;
  readonly pools?: readonly string[];
  readonly mtu?: number;
  readonly routes?: readonly { readonly dst: string; readonly gw?: string }[];
  readonly dns?: object;
  readonly ipam?: Pick<GivenConfig, "socket" | "spool" | "pools" | "routes">;
  readonly args?: { readonly cni?: { readonly ips?: readonly string[]; readonly labels?: readonly { readonly key: string; readonly value: string }[] } };
  readonly runtimeConfig?: RuntimeConfig;
  readonly prevResult?: {
    readonly ips?: readonly { readonly address?: string }[];
    readonly ip4?: { readonly ip?: string };
    readonly ip6?: { readonly ip?: string };
  };
  readonly "cni.dev/valid-attachments"?: readonly { readonly containerID: string; readonly ifname: string }[];
}
type NetworkConfig = GivenConfig & { readonly cniVersion: string };
interface RuntimeConfig {
  readonly ips?: readonly string[];
  readonly mac?: string;
  readonly aliases?: Readonly<Record<string, readonly string[]>>;
  readonly portMappings?: readonly Readonly<Record<string, unknown>>[];
  readonly bandwidth?: Readonly<Record<string, number>>;
  readonly dns?: { readonly servers?: readonly string[]; readonly searches?: readonly string[]; readonly options?: readonly string[] };
}
/** What the daemon answers (daemon/pod-control.ts), as far as it is read here. */
interface Answer {
  readonly addresses: readonly {
    readonly address: string;
    readonly length: number;
    readonly cidr: string;
    readonly gateway: string;
    readonly subnetGateway: string | null;
  }[];
  readonly routes: readonly { readonly destination: string; readonly gateway: string }[];
  readonly dns: {
    readonly nameservers: readonly string[];
    readonly domain: string | null;
    readonly search: readonly string[];
    readonly options: readonly string[];
  };
  readonly mtu: number;
  readonly mac: string;
  readonly hostDevice: string;
  readonly hostMac: string;
}

const env = process.env;
const isIpam = (process.argv[1] ?? "").endsWith("podway-ipam");

async function main(): Promise<void> {
  let version = newest;
  try {
    const command = env.CNI_COMMAND ?? "";
    const text = readFileSync(0, "utf8");
    if (command === "VERSION") return print({ cniVersion: asked(text), supportedVersions: versions });
    const config = readConfig(text, command);
    version = config.cniVersion;
    await perform(command, config);
  } catch (error) {
    if (!(error instanceof CniError)) throw error;
    print({ cniVersion: version, code: error.code, msg: error.message, ...(error.details && { details: error.details }) });
    process.exitCode = 1;
  }
}

/** The version of a VERSION request, which may carry anything. */
function asked(text: string): string {
  try {
    const { cniVersion } = JSON.parse(text) as { readonly cniVersion?: unknown };
    return typeof cniVersion === "string" && versions.includes(cniVersion) ? cniVersion : newest;
  } catch {
    return newest;
  }
}

function readConfig(text: string, command: string): NetworkConfig {
  let config: GivenConfig;
  try {
    config = JSON.parse(text) as GivenConfig;
  } catch (error) {
    throw new CniError(code.decode, "the network configuration on standard input is not JSON", String(error));
  }
  if (typeof config !== "object" || config === null) throw new CniError(code.decode, "the network configuration is no JSON object");
  const { cniVersion = "0.1.0", name } = config;
  if (!versions.includes(cniVersion)) throw new CniError(code.version, `cniVersion ${cniVersion} is not supported; these are: ${versions.join(", ")}`);
  if (command !== "STATUS" && !/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(name ?? "")) throw new CniError(code.config, "the network configuration has no valid name");
  for (const key of ["pools", "routes"] as const) {
    const value = (isIpam ? config.ipam : config)?.[key];
    if (value !== undefined && !Array.isArray(value)) throw new CniError(code.config, `${key} of the network configuration is no list`);
  }
  return { ...config, cniVersion };
}

/** Answers each verb by one request; what a verb needs of the environment is checked first (SPEC "Parameters"). */
async function perform(command: string, config: NetworkConfig): Promise<void> {
  const needed: Readonly<Record<string, readonly string[]>> = {
    ADD: ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"],
    CHECK: ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"],
    DEL: ["CNI_CONTAINERID", "CNI_IFNAME"],
    GC: [],
    STATUS: [],
  };
  const names = needed[command];
  if (!names) throw new CniError(code.environment, `CNI_COMMAND is ${JSON.stringify(command)}; expected ADD, DEL, CHECK, GC, STATUS or VERSION`);
  checkEnvironment(names);
  if (command === "CHECK" && versions.indexOf(config.cniVersion) < versions.indexOf("0.4.0")) throw tooOld(command, config);
  if ((command === "GC" || command === "STATUS") && config.cniVersion !== "1.1.0") throw tooOld(command, config);
  if (command === "ADD") return print(resultOf(await add(config), config));
  if (command === "DEL") return del(config);
  if (command === "CHECK") return check(config);
  if (command === "GC") return collect(config);
  return status(config);
}

const tooOld = (command: string, { cniVersion }: NetworkConfig): CniError => new CniError(code.version, `${command} is not in CNI ${cniVersion}`);

function checkEnvironment(names: readonly string[]): void {
  const missing = names.filter((name) => !env[name]);
  if (missing.length > 0) throw new CniError(code.environment, `required environment variables are missing: ${missing.join(", ")}`);
  if (names.length === 0) return;
  if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(env.CNI_CONTAINERID!)) throw new CniError(code.environment, "CNI_CONTAINERID has characters it may not have");
  const ifname = env.CNI_IFNAME!;
  if (ifname.length > 15 || /[/:\s]/.test(ifname) || ifname === "." || ifname === "..")
    throw new CniError(
      code.environment,
      `CNI_IFNAME ${JSON.stringify(ifname)} is no name of an interface: at most 15 characters, none of them a slash, colon or space`,
    );
}

/** CNI_ARGS, `K=V;K=V`. */
function runtimeArguments(): ReadonlyMap<string, string> {
  const pairs = (env.CNI_ARGS ?? "").split(";").filter((pair) => pair !== "");
  return new Map(
    pairs.map((pair) => {
      const at = pair.indexOf("=");
      if (at < 1) throw new CniError(code.environment, `CNI_ARGS has ${JSON.stringify(pair)}, which is no KEY=VALUE`);
      return [pair.slice(0, at), pair.slice(at + 1)] as const;
    }),
  );
}

const key = (): { readonly containerId: string; readonly ifname: string } => ({ containerId: env.CNI_CONTAINERID!, ifname: env.CNI_IFNAME! });

/** Addresses that are asked for: by capability, by convention (`args.cni.ips`), by CNI_ARGS as podman and cnitool do. */
function wantedAddresses({ runtimeConfig, args }: NetworkConfig, given: ReadonlyMap<string, string>): readonly string[] | undefined {
  const byArgument = given.get("IP")?.split(",");
  const wanted = runtimeConfig?.ips ?? args?.cni?.ips ?? byArgument;
  return wanted && wanted.length > 0 ? wanted : undefined;
}

async function add(config: NetworkConfig): Promise<Answer> {
  const given = runtimeArguments(),
    { runtimeConfig = {} } = config;
  const namespace = given.get("K8S_POD_NAMESPACE"),
    pod = given.get("K8S_POD_NAME"),
    uid = given.get("K8S_POD_UID");
  const labels = Object.fromEntries([
    ...(config.args?.cni?.labels ?? []).map((label) => [label.key, label.value] as const),
    ...(pod === undefined ? [] : [["pod", pod] as const]),
    ...(uid === undefined ? [] : [["uid", uid] as const]),
    ...Object.values(runtimeConfig.aliases ?? {}).flatMap((aliases) => (aliases.length > 0 ? [["aliases", aliases.join(" ")] as const] : [])),
  ]);
  const mine = isIpam ? config.ipam : config;
  const body = {
    ...key(),
    network: config.name,
    pools: mine?.pools,
    addresses: wantedAddresses(config, given),
    mac: runtimeConfig.mac ?? given.get("MAC"),
    namespace,
    owner: pod === undefined ? undefined : `${namespace ?? "default"}/${pod}`,
    labels: Object.keys(labels).length > 0 ? labels : undefined,
  };
  if (isIpam) return ask<Answer>(config, "POST", "/v1/addresses", body);
  return ask<Answer>(config, "POST", "/v1/attachments", {
    ...body,
    netns: env.CNI_NETNS,
    mtu: config.mtu,
    routes: config.routes?.map(({ dst, gw }) => ({ destination: dst, ...(gw && { gateway: gw }) })),
    portMappings: runtimeConfig.portMappings?.map(portMapping),
    bandwidth: runtimeConfig.bandwidth,
  });
}

/** Runtimes write these keys in more than one way of capitals. */
function portMapping(given: Readonly<Record<string, unknown>>): object {
  const lower = Object.fromEntries(Object.entries(given).map(([name, value]) => [name.toLowerCase(), value]));
  const protocol = typeof lower.protocol === "string" && lower.protocol !== "" ? lower.protocol.toLowerCase() : "tcp";
  return { hostPort: lower.hostport, containerPort: lower.containerport, protocol, ...(lower.hostip ? { hostIp: lower.hostip } : {}) };
}

/** DEL succeeds on what is not there, and without a daemon. */
async function del(config: NetworkConfig): Promise<void> {
  const target = `${isIpam ? "/v1/addresses" : "/v1/attachments"}?${new URLSearchParams(key()).toString()}`;
  try {
    await ask(config, "DELETE", target);
  } catch (error) {
    if (!(error instanceof NoDaemon)) throw error;
    const left = leaveDeletion(config, error);
    if (!isIpam) await removeLink();
    // A daemon that started meanwhile may have looked into the folder before.
    const isTold = await ask(config, "DELETE", target).then(
      () => true,
      () => false,
    );
    if (isTold && left !== undefined) rmSync(left, { force: true });
  }
}

/** Writes down for the daemon what it is to free. Its folder is not there: no daemon ever ran here, or it left, and nothing is held. */
function leaveDeletion({ spool, ipam }: NetworkConfig, why: CniError): string | undefined {
  const { containerId, ifname } = key(),
    folder = (isIpam ? ipam?.spool : undefined) ?? spool ?? defaultSpool;
  const path = `${folder}/${containerId}@${ifname}`;
  try {
    writeFileSync(`${path}.new`, JSON.stringify({ containerId, ifname, netns: env.CNI_NETNS || null }), { flush: true, mode: 0o644 });
    renameSync(`${path}.new`, path);
    return path;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new CniError(code.later, `${why.message}, and ${folder} takes no note of the deletion`, (error as Error).message);
  }
}

/** The node's end by the name that daemon/pod-view.ts gives it, if its alias says that it is this pod's; the pod's end goes with it. */
async function removeLink(): Promise<void> {
  const { containerId, ifname } = key();
  const [{ createHash }, { spawnSync }] = await Promise.all([import("node:crypto"), import("node:child_process")]);
  const device = `pw${createHash("sha256").update(`${containerId}/${ifname}`).digest("hex").slice(0, 11)}`;
  // Without iproute2 the daemon removes it when it starts. (/sys may show another namespace than ours.)
  const seen = spawnSync("ip", ["-o", "link", "show", "dev", device], { encoding: "utf8" });
  if (seen.status !== 0 || !seen.stdout.includes(`alias podway pod ${containerId} ${ifname}`)) return;
  spawnSync("ip", ["link", "delete", "dev", device], { stdio: "ignore" });
}

async function check(config: NetworkConfig): Promise<void> {
  const { prevResult } = config;
  if (!prevResult) throw new CniError(code.config, "CHECK needs the prevResult of ADD");
  const told = [...(prevResult.ips ?? []).map(({ address }) => address), prevResult.ip4?.ip, prevResult.ip6?.ip];
  const addresses = told.flatMap((address) => (address === undefined ? [] : [address.replace(/\/\d+$/, "")]));
  if (isIpam) return checkAddresses(config, addresses);
  await ask(config, "POST", "/v1/attachments/check", { ...key(), netns: env.CNI_NETNS, addresses });
}

/** Of a link that is somebody else's to check, the addresses alone are ours. */
async function checkAddresses(config: NetworkConfig, told: readonly string[]): Promise<void> {
  const { containerId, ifname } = key();
  const all = await ask<readonly { readonly address: string; readonly ifname: string | null; readonly state: string }[]>(
    config,
    "GET",
    `/v1/addresses?containerId=${encodeURIComponent(containerId)}`,
  );
  const own = all.filter((each) => each.state === "used" && each.ifname === ifname).map(({ address }) => address);
  if (own.length === 0) throw new CniError(codeOf["ipam.unknown"]!, `container ${containerId} has no addresses for its ${ifname} here`);
  const lost = own.filter((address) => !told.includes(address));
  if (lost.length > 0) throw new CniError(codeOf["attach.differs"]!, `prevResult lacks ${lost.join(" and ")}, which container ${containerId} has on ${ifname}`);
}

async function collect(config: NetworkConfig): Promise<void> {
  const living = (config["cni.dev/valid-attachments"] ?? []).map(({ containerID, ifname }) => ({ containerId: containerID, ifname }));
  const { failures } = await ask<{ readonly failures: readonly string[] }>(config, "POST", "/v1/attachments/gc", { network: config.name, living });
  if (failures.length > 0) throw new CniError(110, `${failures.length} of the attachments to be removed could not be`, failures.join("; "));
}

async function status(config: NetworkConfig): Promise<void> {
  const { ready, reasons } = await ask<{ readonly ready: boolean; readonly reasons: readonly string[] }>(config, "GET", "/v1/pods/ready");
  if (!ready) throw new CniError(code.notAvailable, `this node takes no pods now: ${reasons.join("; ")}`);
}

/** The result as the caller's version has it (SPEC "Success", and the older ones). */
function resultOf(answer: Answer, config: NetworkConfig): object {
  const { cniVersion } = config,
    age = versions.indexOf(cniVersion);
  const dns = dnsOf(answer, config);
  const { ips, routes } = isIpam ? ofSubnet(answer, config) : ofLink(answer);
  if (age < versions.indexOf("0.3.0")) return oldest(cniVersion, ips, routes, dns);
  const withVersion = age < versions.indexOf("1.0.0");
  return {
    cniVersion,
    ...(!isIpam && {
      interfaces: [
        { name: answer.hostDevice, mac: answer.hostMac },
        { name: env.CNI_IFNAME, mac: answer.mac, sandbox: env.CNI_NETNS, ...(cniVersion === "1.1.0" && { mtu: answer.mtu }) },
      ],
    }),
    ips: ips.map(({ address, gateway, isIpv4 }) => {
      return { ...(withVersion && { version: isIpv4 ? "4" : "6" }), address, gateway, ...(!isIpam && { interface: 1 }) };
    }),
    routes,
    dns,
  };
}

interface Given {
  readonly address: string;
  readonly gateway: string | undefined;
  readonly isIpv4: boolean;
}
interface Told {
  readonly ips: readonly Given[];
  readonly routes: readonly { readonly dst: string; readonly gw?: string }[];
}

/** A pod's own link: an address alone, and a gateway that answers on it. */
function ofLink({ addresses, routes }: Answer): Told {
  const ips = addresses.map(({ address, length, gateway }) => ({ address: `${address}/${length}`, gateway, isIpv4: !address.includes(":") }));
  return { ips, routes: routes.map(({ destination, gateway }) => ({ dst: destination, gw: gateway })) };
}

/** Somebody else's link, which is a subnet: the node's CIDR. Whoever makes it knows which gateway a route without one goes by. */
function ofSubnet({ addresses, routes }: Answer, { ipam }: NetworkConfig): Told {
  const ips = addresses.map(({ address, cidr, subnetGateway }) => {
    return { address: `${address}/${cidr.slice(cidr.indexOf("/") + 1)}`, gateway: subnetGateway ?? undefined, isIpv4: !address.includes(":") };
  });
  const own = new Set(addresses.map(({ gateway }) => gateway));
  return { ips, routes: ipam?.routes ?? routes.map(({ destination, gateway }) => ({ dst: destination, ...(!own.has(gateway) && { gw: gateway }) })) };
}

/** 0.1.0 and 0.2.0: one address of each family. */
function oldest(cniVersion: string, ips: readonly Given[], routes: Told["routes"], dns: object): object {
  const part = (isIpv4: boolean): object | undefined => {
    const found = ips.find((one) => one.isIpv4 === isIpv4);
    return found && { ip: found.address, gateway: found.gateway, routes: routes.filter(({ dst }) => !dst.includes(":") === isIpv4) };
  };
  const ip4 = part(true),
    ip6 = part(false);
  return { cniVersion, ...(ip4 && { ip4 }), ...(ip6 && { ip6 }), dns };
}

/** What the runtime gives counts, then the network's, then the pool's. */
function dnsOf({ dns }: Answer, config: NetworkConfig): object {
  const wanted = config.runtimeConfig?.dns;
  if (wanted) return { nameservers: wanted.servers, search: wanted.searches, options: wanted.options };
  if (config.dns) return config.dns;
  const { nameservers, domain, search, options } = dns;
  return {
    ...(nameservers.length > 0 && { nameservers }),
    ...(domain && { domain }),
    ...(search.length > 0 && { search }),
    ...(options.length > 0 && { options }),
  };
}

const print = (value: object): void => void process.stdout.write(`${JSON.stringify(value)}\n`);

/** One request to the daemon. Whoever does not answer may do so soon: code 11. */
async function ask<T>(config: NetworkConfig, method: string, path: string, body?: object): Promise<T> {
  const socket = (isIpam ? config.ipam?.socket : undefined) ?? config.socket ?? defaultSocket;
  const { status: number, text } = await exchange(socket, method, path, body);
  let answer: T & { readonly error?: { readonly code: string; readonly text: string } };
  try {
    answer = JSON.parse(text) as typeof answer;
  } catch {
    throw new CniError(code.io, `what listens at ${socket} does not speak JSON: is that podwayd?`);
  }
  if (number === 200) return answer;
  const { error } = answer;
  throw new CniError(codeOf[error?.code ?? ""] ?? (number >= 500 ? code.later : code.config), error?.text ?? `podwayd answered ${number}`, error?.code);
}

await main();
