/** The verbs around the topology file: checked here without a daemon, planned and applied by one. */
import { createInterface } from "node:readline/promises";
import { type Command, Option } from "commander";
import { callerFault, FaultError } from "#base/fault.ts";
import { controlPaths, type DocumentView, type PlanView } from "#daemon/control.ts";
import { checkFile } from "./check.ts";
import { type DocumentFile, readDocumentFile } from "./document-file.ts";
import { printable } from "./display-text.ts";
import { duration, secondsOf } from "./duration.ts";
import { whoAsks } from "./operator-verbs.ts";
import { isRefused, planScreen } from "./plan-screen.ts";
import { prettyJson, Session } from "./session.ts";
import type { Terminal } from "./terminal.ts";

const fileArgument = ["<file>", 'the topology file; "-" is standard input'] as const;

export function addDocumentVerbs(program: Command): void {
  program
    .command("plan")
    .argument(...fileArgument)
    .description("what a topology file would change, each line marked with its effect")
    .action(async (file: string, _options: unknown, command: Command) => {
      const session = new Session(command);
      const plan = (await session.client.post(controlPaths.plan, await readDocumentFile(file))) as PlanView;
      session.print(session.json ? [prettyJson(plan)] : planScreen(plan, session.terminal));
    });

  program
    .command("apply")
    .argument(...fileArgument)
    .description("put a topology file into force; every daemon of the cluster follows")
    .option("--yes", "do not ask (only a terminal is asked)")
    .addOption(new Option("--confirm <time>", "goes back by itself after this (90s, 5m, 1h) unless `podway confirm` comes").argParser(secondsOf))
    .action(async (file: string, options: ApplyOptions, command: Command) => apply(new Session(command), await readDocumentFile(file), options));

  program
    .command("document")
    .description("the document in force")
    .action(async (_options: unknown, command: Command) => new Session(command).show({ path: controlPaths.document, render: documentLines }));

  program
    .command("check")
    .argument(...fileArgument)
    .description("check a topology file, without a daemon")
    .option("--node <name>", "and that it tells this node what to do")
    .action(async (file: string, options: { readonly node?: string }, command: Command) =>
      checkFile(new Session(command), await readDocumentFile(file), options.node),
    );
}

/** As it stands when it goes into a file or a program; made harmless for a terminal. */
function documentLines({ text }: DocumentView, { interactive }: Terminal): string[] {
  const lines = text.replace(/\n$/, "").split("\n");
  return interactive ? lines.map(printable) : lines;
}

/** What describes the file itself; printed, nothing asked. */
export function addManualVerbs(program: Command): void {
  program
    .command("manual")
    .description("print the manual of the topology file (Markdown)")
    .action(async (_options: unknown, command: Command) => new Session(command).print([(await import("#config/manual.ts")).printManual().trimEnd()]));

  program
    .command("schema")
    .description("print the JSON Schema of the topology file, for editors")
    .action(async (_options: unknown, command: Command) => new Session(command).print([(await import("#config/manual.ts")).printJsonSchema().trimEnd()]));
}

interface ApplyOptions {
  readonly yes?: true;
  /** Seconds. */
  readonly confirm?: number;
}

async function apply(session: Session, document: DocumentFile, { yes, confirm }: ApplyOptions): Promise<void> {
  const asks = !yes && !session.json && process.stdin.isTTY && session.terminal.interactive;
  if (asks) {
    const plan = (await session.client.post(controlPaths.plan, document)) as PlanView;
    session.print(planScreen(plan, session.terminal));
    if (isRefused(plan)) throw new FaultError(callerFault("cli.refused", "nothing is applied: the plan holds changes that are refused."));
    if (plan.changes.length === 0) return;
    if (!(await isWanted())) throw new FaultError(callerFault("cli.declined", "nothing is applied."));
  }
  const query = { confirmSeconds: confirm, by: whoAsks() };
  const applied = (await session.client.post(controlPaths.apply, document, query)) as PlanView & { readonly revision: string };
  if (session.json) return session.print([prettyJson(applied)]);
  const waits = confirm === undefined ? "" : `; it goes back in ${duration(confirm)} unless you say podway confirm`;
  session.print([...(asks ? [] : planScreen(applied, session.terminal)), `applied as revision ${applied.revision}${waits}`]);
}

async function isWanted(): Promise<boolean> {
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await lines.question("Apply this? [y/N] ")).trim());
  } finally {
    lines.close();
  }
}
