/** The verbs that work on this machine itself, with or without a daemon: doctor and leave. */
import { hostname } from "node:os";
import { spawnSync } from "node:child_process";
import { setTimeout as pause } from "node:timers/promises";
import { type Command, Option } from "commander";
import type { Check, Departure, HostQuestion } from "#base/check.ts";
import type { CniFilesAnswer, CniFilesQuestion } from "#base/cni-files.ts";
import { callerFault, FaultError } from "#base/fault.ts";
import { controlPaths, type DocumentView, type StatusView } from "#daemon/control.ts";
import { type DoneView, operatorPaths } from "#daemon/operator-control.ts";
import { checkScreen } from "./check-screen.ts";
import { wrap } from "./display-text.ts";
import { exitCodeOf, exitCodes } from "./exit-code.ts";
import { prettyJson, Session } from "./session.ts";

const unit = "podwayd.service";
/** A daemon that was told to leave has this long to say good-bye. */
const stopMillis = 20_000;

/** What works on this machine itself, with or without a daemon (src/host); the entry brings it. */
export interface Host {
  examine(question: HostQuestion): Promise<readonly Check[]>;
  depart(question: HostQuestion): Promise<Departure>;
  installCni(question: CniFilesQuestion): Promise<CniFilesAnswer>;
  uninstallCni(question: CniFilesQuestion): Promise<CniFilesAnswer>;
}

interface HostOptions {
  readonly topology: string;
  readonly node?: string;
  readonly state: string;
  readonly yes?: true;
}

export function addHostVerbs(program: Command, load: () => Promise<Host>): void {
  const options = (command: Command): Command =>
    command
      .option("--topology <file>", "the document to go by where no daemon answers", "/etc/podway/topology.yaml")
      .option("--node <name>", "which of its nodes this is (default: what the daemon says, else the host name)")
      .option("--state <dir>", "state directory of the daemon", "/var/lib/podway");
  options(program.command("doctor"))
    .description("look at everything that commonly goes wrong on this machine; exit code 1 if something is wrong")
    .action(async (given: HostOptions, command: Command) => {
      const session = new Session(command);
      const checks = await (await load()).examine(await questionOf(session, given));
      session.print(session.json ? [prettyJson({ checks })] : checkScreen(checks, session.terminal));
      if (checks.some((check: Check) => check.state === "fail")) process.exitCode = exitCodes.caller;
    });
  options(program.command("leave"))
    .description("take everything of Podway away from this machine: sessions, claims, kernel entries, rules, state")
    .addOption(new Option("--yes", "it is meant").makeOptionMandatory())
    .action(async (given: HostOptions, command: Command) => leave(new Session(command), given, load));
}

/** Asks the daemon, if one answers, what rules and who this is. */
async function questionOf(session: Session, { topology, node, state }: HostOptions): Promise<HostQuestion> {
  const question = { topology, node: node ?? hostname(), stateDirectory: state };
  try {
    const status = (await session.client.get(controlPaths.status)) as StatusView;
    const { text } = (await session.client.get(controlPaths.document)) as DocumentView;
    return { ...question, node: node ?? status.node, ruling: text };
  } catch (error) {
    if (!(error instanceof FaultError) || exitCodeOf(error.fault) !== exitCodes.unreachable || error.fault.code === "cli.no-permission") throw error;
    return { ...question, ruling: undefined };
  }
}

async function leave(session: Session, given: HostOptions, load: () => Promise<Host>): Promise<void> {
  const question = await questionOf(session, given);
  const said: string[] = [];
  if (question.ruling !== undefined) {
    said.push(((await session.client.post(operatorPaths.leave, undefined)) as DoneView).text);
    // systemd would start it again.
    if (spawnSync("systemctl", ["is-enabled", "--quiet", unit]).status === 0) said.push(disableUnit());
    await ended(session);
  }
  const departure: Departure = await (await load()).depart(question);
  const whole = { done: [...said, ...departure.done], left: departure.left };
  if (session.json) session.print([prettyJson(whole)]);
  else session.print([...lines(whole.done, session), ...whole.left.map((text) => `left: ${text}`).flatMap((text) => lines([text], session))]);
  if (whole.left.length > 0) process.exitCode = exitCodes.daemon;
}

function disableUnit(): string {
  const ran = spawnSync("systemctl", ["disable", "--now", unit], { encoding: "utf8" });
  return ran.status === 0 ? `${unit} is disabled` : `${unit} could not be disabled: ${ran.stderr.trim()}`;
}

async function ended(session: Session): Promise<void> {
  for (const end = performance.now() + stopMillis; performance.now() < end; await pause(50)) {
    const isGone = await session.client.get(controlPaths.status).then(
      () => false,
      (error: unknown) => error instanceof FaultError && error.fault.code === "cli.unreachable",
    );
    if (isGone) return;
  }
  throw new FaultError(
    callerFault("cli.still-running", `podwayd was told to leave and still answers after ${stopMillis / 1000} s: stop it, and run podway leave again.`),
  );
}

const lines = (texts: readonly string[], session: Session): string[] => texts.flatMap((text) => wrap(text, session.terminal.width));
