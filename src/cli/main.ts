/** The command line: argv → request → table or JSON. It decides nothing and knows the daemon by its socket only. */
import { Command, CommanderError } from "commander";
import { type Fault, FaultError } from "#base/fault.ts";
import { addCompletion } from "./completion.ts";
import { addDaemonVerbs } from "./daemon-verbs.ts";
import { addCniVerbs } from "./cni-verbs.ts";
import { addDocumentVerbs, addManualVerbs } from "./document-verbs.ts";
import { addHostVerbs, type Host } from "./host-verbs.ts";
import { addHistoryVerbs, addNodeVerbs } from "./operator-verbs.ts";
import { addImportVerbs } from "./import-verbs.ts";
import { addPolicyVerbs } from "./policy-verbs.ts";
import { addIpVerbs } from "./ip-verbs.ts";
import { printable } from "./display-text.ts";
import { exitCodeHelp, exitCodeOf, exitCodes } from "./exit-code.ts";
import { defaultSocket, prettyJson, Session } from "./session.ts";
import { ownVersion } from "./version.ts";

const epilogue = `
Options may stand before or after the verb. --json prints what the daemon's API answers, on standard output.
Environment: PODWAY_API (socket), NO_COLOR (no colours), COLUMNS (width of tables that go into a pipe).

${exitCodeHelp}`;

/** The program with every verb of its own; the entry adds what other doors bring (the labs), and what works on this machine (`host`). */
export function buildProgram(host: () => Promise<Host>): Command {
  const program = new Command("podway")
    .description("See and steer Podway: BGP route reflection and overlays for bare-metal pod networks")
    .option("--api <socket>", `control socket of the daemon (default: ${defaultSocket})`)
    .option("--json", "print JSON instead of tables")
    .option("--no-color", "no colours, also on a terminal")
    .version(ownVersion(), "-V, --version", "print the version")
    .exitOverride()
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, "podway: ")) })
    .showHelpAfterError("podway --help, also after a verb, says how it is used.")
    .addHelpText("after", epilogue);
  addDaemonVerbs(program);
  addDocumentVerbs(program);
  addHistoryVerbs(program);
  addNodeVerbs(program);
  addIpVerbs(program);
  addCniVerbs(program, host);
  addHostVerbs(program, host);
  addPolicyVerbs(program);
  addImportVerbs(program);
  addManualVerbs(program);
  program
    .command("version")
    .description("print the version")
    .action((_options: unknown, command: Command) => {
      const session = new Session(command),
        version = ownVersion();
      session.print([session.json ? prettyJson({ version }) : `podway ${version}`]);
    });
  addCompletion(program);
  return program;
}

/** Runs `argv` (as process.argv is) and sets process.exitCode. Every failure is one sentence on standard error. */
export async function runProgram(program: Command, argv: readonly string[]): Promise<void> {
  process.stdout.on("error", stopOnClosedPipe);
  try {
    await program.parseAsync(argv);
  } catch (error) {
    process.exitCode = error instanceof CommanderError ? codeOfUsage(error) : tell(error);
  }
}

/** commander has printed its own sentence, or the help that was asked for. */
const codeOfUsage = (error: CommanderError): number => (error.exitCode === 0 ? exitCodes.ok : exitCodes.usage);

function tell(error: unknown): number {
  if (error instanceof FaultError) {
    process.stderr.write(`podway: ${lines(error.fault)}\n`);
    return exitCodeOf(error.fault);
  }
  process.stderr.write(`podway: this is a fault of podway itself: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  return exitCodes.daemon;
}

/** A document's fault has a line for each problem; what a line says may come from strangers. */
const lines = (fault: Fault): string => fault.text.split("\n").map(printable).join("\n");

/** `podway routes | head` has seen enough. */
function stopOnClosedPipe(error: NodeJS.ErrnoException): void {
  if (error.code !== "EPIPE") throw error;
  process.exit(exitCodes.ok);
}
