/** `podway import`: somebody else's network as a topology document, printed for an operator to read and apply. */
import type { Command } from "commander";
import { callerFault, FaultError } from "#base/fault.ts";
import { parseIp } from "#base/ip.ts";
import { importFlannel } from "#config/flannel.ts";
import { EtcdReader } from "./etcd-reader.ts";
import { prettyJson, Session } from "./session.ts";

interface FlannelFlags {
  readonly etcd: string;
  readonly prefix: string;
  readonly cluster: string;
  readonly name: readonly string[];
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly user?: string;
  readonly passwordFile?: string;
}

export function addImportVerbs(program: Command): void {
  program
    .command("import")
    .description("another program's network as a topology document")
    .command("flannel")
    .description("from flannel's etcd: its network, its backend, and for every node the subnet it has")
    .option("--etcd <urls>", "endpoints, separated by commas", "http://127.0.0.1:2379")
    .option("--prefix <prefix>", "flannel's -etcd-prefix", "/coreos.com/network")
    .option("--cluster <name>", "name of the cluster in the document", "flannel")
    .option("--name <address=node>", "a node's name by its public address; may be given again", (text: string, all: readonly string[]) => [...all, text], [])
    .option("--ca <file>", "certificate authority of etcd")
    .option("--cert <file>", "our certificate")
    .option("--key <file>", "its key")
    .option("--user <name>", "etcd user; with --password-file")
    .option("--password-file <file>", "file with the user's password")
    .action(async (flags: FlannelFlags, command: Command) => importFrom(new Session(command), flags));
}

/** The document on standard output; what could not be taken over on standard error. */
async function importFrom(session: Session, flags: FlannelFlags): Promise<void> {
  const { etcd, cluster, name, ...access } = flags,
    endpoints = etcd.split(","),
    prefix = flags.prefix.replace(/\/$/, "");
  const keys = await new EtcdReader({ endpoints, ...access }).list(`${prefix}/`);
  const config = keys.find(({ key }) => key === `${prefix}/config`);
  if (!config) throw new FaultError(callerFault("import.no-config", `etcd has no key ${prefix}/config: --prefix says where flannel keeps its network.`));
  const subnets = keys.flatMap(({ key, value }) => (key.startsWith(`${prefix}/subnets/`) ? [{ name: key.slice(prefix.length + 9), value }] : []));
  const imported = importFlannel(config.value, subnets, { cluster, endpoints, names: new Map(name.map(namePair)) });
  if (!imported.ok) throw new FaultError(imported.fault);
  for (const warning of imported.value.warnings) process.stderr.write(`podway: ${warning}\n`);
  session.print([session.json ? prettyJson(imported.value) : imported.value.text.trimEnd()]);
}

function namePair(text: string): readonly [string, string] {
  const [address = "", node = ""] = text.split("="),
    parsed = parseIp(address);
  if (parsed === undefined || node === "") throw new FaultError(callerFault("cli.bad-name", `--name ${text}: expected ADDRESS=NODE, such as 192.168.64.3=n1.`));
  return [parsed, node];
}
