/**
 * A lab as a compose file: machines become containers, switches and direct links become networks. Pods are left out: a
 * container engine attaches its own. Pure.
 */
import { prefixFamily, parsePrefix, prefixParts, maskBytes, printPrefix, addressAt, countSubnets } from "#base/prefix.ts";
import { type LabLink, type LabMachine, labMachines } from "#config/lab-schema.ts";
import type { LabDocument } from "./plan.ts";
import { printYaml, type Yaml } from "./yaml-text.ts";

type Section = Record<string, Yaml>;

/** Text of the compose file for the lab of `document`, which was read from `file` (as seen from the compose file's directory). */
export function composeFile(document: LabDocument, file: string): string {
  const machines = labMachines(document.lab, { nodes: Object.keys(document.nodes), pools: [] });
  const running = machines.filter((machine) => machine.kind !== "bridge" && machine.node === undefined);
  const networks = networksOf(document.lab.links ?? [], machines);
  const at = file.lastIndexOf("/");
  const mount = { directory: at < 0 ? "." : file.startsWith("/") ? file.slice(0, at) : `./${file.slice(0, at)}`, name: file.slice(at + 1) };
  const stores = running.filter((machine) => machine.kind === "etcd").map((machine) => machine.name);
  const states = running.filter((machine) => machine.kind === "podway").map((machine) => `${machine.name}-state`);
  const compose: Section = {
    name: document.name,
    services: Object.fromEntries(running.map((machine) => [machine.name, service(machine, { networks, mount, stores })])),
    networks: Object.fromEntries(networks.map((network) => [network.name, networkSection(network)])),
    volumes: Object.fromEntries(states.map((name) => [name, {}])),
  };
  return `# Generated: podway lab compose ${file} > docker-compose.yml\n${printYaml(compose)}`;
}

interface Network {
  readonly name: string;
  readonly subnets: readonly string[];
  readonly ends: readonly End[];
}
interface End {
  readonly machine: string;
  readonly device: string;
  readonly ipv4: string | undefined;
  readonly ipv6: string | undefined;
}

function networksOf(links: readonly LabLink[], machines: readonly LabMachine[]): readonly Network[] {
  const bridges = new Set(machines.filter((machine) => machine.kind === "bridge").map((machine) => machine.name));
  const ends = new Map<string, End[]>();
  for (const link of links) {
    const both = link.endpoints.map((endpoint, end) => {
      const [machine, device] = endpoint.split(":") as [string, string];
      return { machine, device, ipv4: link.ipv4?.[end] ?? undefined, ipv6: link.ipv6?.[end] ?? undefined };
    });
    const bridge = both.find((end) => bridges.has(end.machine))?.machine;
    const name = bridge ?? both.map((end) => end.machine).join("-");
    ends.set(name, [...(ends.get(name) ?? []), ...both.filter((end) => !bridges.has(end.machine))]);
  }
  return [...ends].map(([name, all]) => ({ name, ends: all, subnets: subnetsOf(all) }));
}

function subnetsOf(ends: readonly End[]): string[] {
  const addresses = ends.flatMap((end) => [end.ipv4, end.ipv6]).filter((text) => text !== undefined);
  return [...new Set(addresses.map((text) => parsePrefix(text, true)!))];
}

/** The engine takes an address of each network for itself: the last one, where no machine of a lab is likely to stand. */
function networkSection(network: Network): Section {
  const config = network.subnets.map((subnet) => ({ subnet, gateway: lastAddress(subnet) }));
  return { ...(network.subnets.some((subnet) => prefixFamily(subnet) === 6) ? { enable_ipv6: true } : {}), ipam: { config } };
}

function lastAddress(subnet: string): string {
  const prefix = parsePrefix(subnet)!;
  const { bytes, length } = prefixParts(prefix);
  const whole = printPrefix(maskBytes(bytes, length), length);
  // IPv4 keeps its last address for broadcast (RFC 919 §7).
  return addressAt(whole, countSubnets(whole, bytes.length * 8) - (bytes.length === 4 ? 2n : 1n));
}

interface Surroundings {
  readonly networks: readonly Network[];
  readonly mount: { readonly directory: string; readonly name: string };
  readonly stores: readonly string[];
}

function service(machine: LabMachine, around: Surroundings): Section {
  const podway = machine.kind === "podway";
  const forwarding = { "net.ipv4.ip_forward": "1", "net.ipv6.conf.all.disable_ipv6": "0", "net.ipv6.conf.all.forwarding": "1" };
  const forwards = podway || ["bird", "frr", "router"].includes(machine.kind);
  return {
    image: podway ? "podway" : "podway-lab",
    build: { context: ".", dockerfile: "deploy/Dockerfile", target: podway ? "podway" : "lab" },
    hostname: machine.name,
    command: command(machine, around.mount.name),
    cap_add: ["NET_ADMIN", "NET_RAW"],
    ...(forwards ? { sysctls: forwarding } : {}),
    ...(machine.env && Object.keys(machine.env).length > 0 ? { environment: machine.env } : {}),
    volumes: [`${around.mount.directory}:/etc/podway:ro`, ...(podway ? [`${machine.name}-state:/var/lib/podway`] : [])],
    ...(podway && around.stores.length > 0 ? { depends_on: [...around.stores] } : {}),
    networks: Object.fromEntries(around.networks.flatMap((network) => attachments(machine, network))),
    restart: "unless-stopped",
  };
}

function attachments(machine: LabMachine, network: Network): [string, Section][] {
  return network.ends
    .filter((end) => end.machine === machine.name)
    .map((end) => [
      network.name,
      {
        interface_name: end.device,
        ...(end.ipv4 === undefined ? {} : { ipv4_address: end.ipv4.split("/")[0]! }),
        ...(end.ipv6 === undefined ? {} : { ipv6_address: end.ipv6.split("/")[0]! }),
      },
    ]);
}

/** The machine's program; static routes come before it, since compose has no word for them. */
function command(machine: LabMachine, topology: string): string[] {
  const program = programOf(machine, topology);
  const routes = (machine.routes ?? []).map((route) => `ip route replace ${route.to} via ${route.via}`);
  return routes.length === 0 ? program : ["sh", "-c", [...routes, `exec ${program.join(" ")}`].join(" && ")];
}

/** Debian's FRR starts what /etc/frr/daemons says. */
const frrSetup = "cp FILE /etc/frr/frr.conf && sed -i s/bgpd=no/bgpd=yes/ /etc/frr/daemons && /usr/lib/frr/frrinit.sh start";

function programOf(machine: LabMachine, topology: string): string[] {
  switch (machine.kind) {
    case "podway":
      return ["podwayd", "--topology", `/etc/podway/${topology}`, "--node", machine.name];
    case "etcd":
      return ["etcd", "--name", machine.name, "--listen-client-urls", "http://0.0.0.0:2379", "--advertise-client-urls", `http://${machine.name}:2379`];
    case "bird":
      return ["bird", "-f", "-c", `/etc/podway/${machine.config}`];
    case "frr":
      return ["sh", "-c", `${frrSetup.replace("FILE", `/etc/podway/${machine.config}`)} && exec sleep infinity`];
    case "host":
    case "bridge":
    case "router":
      return ["sleep", "infinity"];
  }
}
