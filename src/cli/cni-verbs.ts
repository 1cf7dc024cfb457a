/** `podway cni`: the plugin and its network where runtimes look for them. */
import type { Command } from "commander";
import type { CniFilesAnswer, CniFilesQuestion } from "#base/cni-files.ts";
import type { Host } from "./host-verbs.ts";
import { defaultSocket, prettyJson, Session } from "./session.ts";

interface Given {
  readonly bin: string;
  readonly conf: string;
  readonly network: string;
  readonly socket: string;
  readonly state: string;
  readonly pools?: string;
}

export function addCniVerbs(program: Command, load: () => Promise<Host>): void {
  const cni = program.command("cni").description("the CNI plugin, for containerd, podman and everything else that calls one");
  const places = (command: Command): Command =>
    command
      .option("--bin <dir>", "folder of plugins", "/opt/cni/bin")
      .option("--conf <dir>", "folder of networks", "/etc/cni/net.d")
      .option("--network <name>", "name of the network", "podway")
      .option("--socket <path>", "control socket that the plugin asks", defaultSocket)
      .option("--state <dir>", "state directory of the daemon: deletions wait there while it is down", "/var/lib/podway");
  places(cni.command("install"))
    .option("--pools <a,b>", "pools to take one address from each (default: the daemon chooses)")
    .description("write podway-cni, podway-ipam and a network; done again it changes nothing")
    .action(async (given: Given, command: Command) => tell(command, await (await load()).installCni(questionOf(given)), "written"));
  places(cni.command("uninstall"))
    .description("remove them; files of others stay")
    .action(async (given: Given, command: Command) => tell(command, await (await load()).uninstallCni(questionOf(given)), "removed"));
}

function questionOf({ bin, conf, network, socket, state, pools }: Given): CniFilesQuestion {
  return { bin, conf, network, socket, stateDirectory: state, pools: (pools ?? "").split(",").filter((name) => name !== "") };
}

function tell(command: Command, answer: CniFilesAnswer, done: string): void {
  const session = new Session(command);
  if (session.json) return session.print([prettyJson(answer)]);
  const lines = [...answer.changed.map((path) => `${path} is ${done}`), ...answer.unchanged.map((path) => `${path} stays as it is`)];
  session.print(lines.length > 0 ? lines : ["there is nothing to remove"]);
}
