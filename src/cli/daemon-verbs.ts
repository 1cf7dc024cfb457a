/** The verbs that ask a daemon and change nothing: each is one GET of the control socket and one screen. */
import { type Command, InvalidArgumentError, Option } from "commander";
import { type ClusterView, controlPaths, type LeaseView, type PeerView, type StatusView, type WhyView } from "#daemon/control.ts";
import { wrap } from "./display-text.ts";
import { kernelScreen } from "./kernel-screen.ts";
import { clusterTable, leaseTable } from "./lease-screen.ts";
import { peerErrorsScreen } from "./peer-errors-screen.ts";
import { peerScreen, peerTable } from "./peer-screen.ts";
import { addPeerActions } from "./operator-verbs.ts";
import { type RoutesAnswer, routeTable } from "./route-screen.ts";
import { Session } from "./session.ts";
import { statusScreen } from "./status-screen.ts";
import type { Terminal } from "./terminal.ts";

interface Watched {
  readonly watch?: number | true;
}

export function addDaemonVerbs(program: Command): void {
  addStatus(program);
  addPeers(program);
  addRoutes(program);

  program
    .command("leases")
    .description("who holds which CIDR, and for how long")
    .addOption(watchOption())
    .action(async (options: Watched, command: Command) => {
      const render = (leases: readonly LeaseView[], terminal: Terminal): string[] => leaseTable(leases, terminal);
      return new Session(command).show({ path: controlPaths.leases, watchSeconds: watchSeconds(options), render });
    });

  program
    .command("why")
    .argument("<subject>", "a prefix, an address or a peer")
    .description("one paragraph: why it is as it is")
    .action(async (subject: string, _options: unknown, command: Command) => {
      const render = ({ text }: WhyView, { width }: Terminal): string[] => wrap(text, width);
      return new Session(command).show({ path: controlPaths.why, query: { subject }, render });
    });

  program
    .command("kernel")
    .description("kernel tables of ours: what is wanted, what is there")
    .addOption(watchOption())
    .action(async (options: Watched, command: Command) =>
      new Session(command).show({ path: controlPaths.kernel, watchSeconds: watchSeconds(options), render: kernelScreen }),
    );
}

function addStatus(program: Command): void {
  program
    .command("status")
    .description("this node on one screen: ready or not and why, store, leases, peers, routes, kernel")
    .option("--cluster", "every node the store knows of")
    .addOption(watchOption())
    .action(async (options: Watched & { readonly cluster?: true }, command: Command) => {
      const session = new Session(command),
        seconds = watchSeconds(options);
      if (options.cluster) return session.show<ClusterView>({ path: controlPaths.cluster, watchSeconds: seconds, render: clusterTable });
      return session.show<StatusView>({ path: controlPaths.status, watchSeconds: seconds, render: statusScreen });
    });
}

function addPeers(program: Command): void {
  const peers = program
    .command("peers")
    .argument("[name]", "name or address of one peer: everything about it")
    .description("BGP neighbours, and why one is not established")
    .addOption(watchOption())
    .action(async (name: string | undefined, options: Watched, command: Command) => {
      const one = (peers: readonly PeerView[], terminal: Terminal): string[] => peers.flatMap((peer) => peerScreen(peer, terminal));
      const all = (peers: readonly PeerView[], terminal: Terminal): string[] => peerTable(peers, terminal);
      const render = name === undefined ? all : one;
      return new Session(command).show<readonly PeerView[]>({ path: controlPaths.peers, query: { name }, watchSeconds: watchSeconds(options), render });
    });
  peers
    .command("errors")
    .argument("<peer>", "name or address")
    .description("what the peer sent that was malformed (RFC 7606): counts, and the last messages whole")
    .addOption(watchOption())
    .action(async (name: string, options: Watched, command: Command) =>
      new Session(command).show({ path: controlPaths.peerErrors, query: { name }, watchSeconds: watchSeconds(options), render: peerErrorsScreen }),
    );
  addPeerActions(peers);
}

interface RouteOptions extends Watched {
  readonly family?: string;
  readonly received?: string;
  readonly sent?: string;
  readonly all?: true;
  readonly longer?: true;
  readonly best?: true;
  readonly limit?: number;
  readonly offset?: number;
}

function addRoutes(program: Command): void {
  program
    .command("routes")
    .argument("[prefix]", "only this prefix")
    .description("best routes, or what a peer sent or was sent")
    .addOption(new Option("--family <family>", "only this family").choices(["ipv4", "ipv6"]))
    .addOption(new Option("--received <peer>", "what this peer sent us").conflicts("sent"))
    .option("--sent <peer>", "what this peer was sent")
    .option("--all", "all paths of each prefix, not only the best")
    .option("--limit <count>", "at most so many (default: 1000)", positiveCount)
    .option("--longer", "with a prefix: everything more specific too")
    .option("--best", "with --received: only what is also chosen")
    .option("--offset <count>", "leave out so many before the first one", positiveCount)
    .addOption(watchOption())
    .action(async (prefix: string | undefined, options: RouteOptions, command: Command) => {
      const { family, received, sent, all, limit, longer, best, offset } = options;
      const query = { prefix, longer, best, family, receivedFrom: received, sentTo: sent, all, limit, offset };
      return new Session(command).show<RoutesAnswer>({ path: controlPaths.routes, query, watchSeconds: watchSeconds(options), render: routeTable });
    });
}

const watchOption = (): Option => new Option("--watch [seconds]", "show it again and again (default: every second)").argParser(secondsFrom);

const watchSeconds = ({ watch }: Watched): number | undefined => (watch === true ? 1 : watch);

function positiveCount(text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("It must be a whole number from 1 on.");
}

function secondsFrom(text: string): number {
  const value = Number(text);
  if (/^\d+(\.\d+)?$/.test(text) && value >= 0.1 && value <= 1e6) return value;
  throw new InvalidArgumentError("It must be a number of seconds, 0.1 or more.");
}
