/** The verbs by which an operator steers a daemon: each is one POST of the control socket and the sentence that says what was done. */
import { userInfo } from "node:os";
import { type Command, Option } from "commander";
import { type DoneView, operatorPaths } from "#daemon/operator-control.ts";
import { FaultError, callerFault } from "#base/fault.ts";
import { printable, wrap } from "./display-text.ts";
import { historyScreen } from "./history-screen.ts";
import { planScreen } from "./plan-screen.ts";
import { secondsOf } from "./duration.ts";
import type { Query } from "./daemon-client.ts";
import { prettyJson, Session } from "./session.ts";
import type { AppliedView, HistoryView } from "#daemon/operator-control.ts";

const textOption = (): Option => new Option("--text <words>", "why, told to the operator of the other side (RFC 9003)");
const forceOption = (): Option => new Option("--force", "also where it is refused for safety");

/** Subcommands of `podway peers`. */
export function addPeerActions(peers: Command): void {
  peers
    .command("reset")
    .argument("<peer>", "name or address")
    .description("end the session; it comes back by itself")
    .option("--hard", "neither side keeps the other's routes meanwhile (RFC 8538)")
    .addOption(textOption())
    .action(async (name: string, { hard, text }: { hard?: true; text?: string }, command: Command) =>
      act(command, operatorPaths.resetPeer, { name, hard, text }),
    );
  peers
    .command("refresh")
    .argument("<peer>", "name or address")
    .description("have routes told again (RFC 2918); the session stays")
    .addOption(new Option("--in", "the peer tells us its routes (default)").conflicts("out"))
    .option("--out", "the peer is told ours")
    .action(async (name: string, { out }: { out?: true }, command: Command) =>
      act(command, operatorPaths.refreshPeer, { name, direction: out ? "out" : "in" }),
    );
  peers
    .command("shutdown")
    .argument("<peer>", "name or address")
    .description("keep the peer down until it is enabled, also over restarts of the daemon")
    .addOption(textOption())
    .action(async (name: string, { text }: { text?: string }, command: Command) => act(command, operatorPaths.shutdownPeer, { name, text }));
  peers
    .command("enable")
    .argument("<peer>", "name or address")
    .description("end a shutdown")
    .action(async (name: string, _options: unknown, command: Command) => act(command, operatorPaths.enablePeer, { name }));
}

/** What concerns documents that were applied. */
export function addHistoryVerbs(program: Command): void {
  program
    .command("confirm")
    .description("keep what apply --confirm put into force")
    .action(async (_options: unknown, command: Command) => act(command, operatorPaths.confirm));
  program
    .command("history")
    .description("documents of before: when, by whom, what changed")
    .action(async (_options: unknown, command: Command) => new Session(command).show<HistoryView>({ path: operatorPaths.history, render: historyScreen }));
  program
    .command("rollback")
    .argument("[revision]", "as history names it; what was before if left out")
    .description("put a former document into force")
    .action(async (revision: string | undefined, _options: unknown, command: Command) => {
      const session = new Session(command);
      const applied = (await session.client.post(operatorPaths.rollback, undefined, { revision, by: whoAsks() })) as AppliedView;
      session.print(session.json ? [prettyJson(applied)] : [...planScreen(applied, session.terminal), `rolled back as revision ${applied.revision}`]);
    });
}

/** What concerns a whole node. */
export function addNodeVerbs(program: Command): void {
  program
    .command("drain")
    .argument("[node]", "name of the node")
    .description("take a node out of service: graceful shutdown (RFC 8326), then its sessions end, and it takes no new pods")
    .option("--self", "the node that answers")
    .addOption(textOption())
    .addOption(new Option("--grace <time>", "neighbours have so long to take other paths (default: 10s)").argParser(secondsOf))
    .addOption(forceOption())
    .action(async (node: string | undefined, { self, text, force, grace }: DrainOptions, command: Command) =>
      act(command, operatorPaths.drain, { node: oneNode(node, self), text, force, graceSeconds: grace, by: whoAsks() }),
    );
  program
    .command("undrain")
    .argument("[node]", "name of the node; the one that answers if left out")
    .description("put a node into service again")
    .action(async (node: string | undefined, _options: unknown, command: Command) => act(command, operatorPaths.undrain, { node }));
  program
    .command("evict")
    .argument("<node>", "name of the node")
    .description("free what a dead node holds, before its hold ends by itself")
    .addOption(forceOption())
    .action(async (node: string, { force }: { force?: true }, command: Command) => act(command, operatorPaths.evict, { node, force }));
}

interface DrainOptions {
  readonly self?: true;
  readonly text?: string;
  readonly force?: true;
  /** Seconds. */
  readonly grace?: number;
}

function oneNode(node: string | undefined, self: true | undefined): string | undefined {
  if ((node === undefined) !== (self === undefined)) return node;
  throw new FaultError(callerFault("cli.usage", "name the node to drain, or say --self for the one that answers."));
}

/** For the history: the user behind sudo, as far as this machine says. */
export function whoAsks(): string {
  return (process.env["SUDO_USER"] || userInfo().username).slice(0, 64);
}

async function act(command: Command, path: string, query: Query = {}): Promise<void> {
  const session = new Session(command);
  const view = (await session.client.post(path, undefined, query)) as DoneView;
  if (session.json) return session.print([prettyJson(view)]);
  session.print([view.text, ...view.details].flatMap((text, i) => wrap(printable(text), session.terminal.width, i === 0 ? "" : "  ")));
}
