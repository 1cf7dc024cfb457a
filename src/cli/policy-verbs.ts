/** `podway policy`: what rules decided, tests of a file, and what a file would change among the routes that are there. */
import type { Command } from "commander";
import { controlPaths, type PolicyTrialView } from "#daemon/control.ts";
import { readDocumentFile, type DocumentFile } from "./document-file.ts";
import { exitCodes } from "./exit-code.ts";
import { policyScreen, trialScreen } from "./policy-screen.ts";
import { prettyJson, Session } from "./session.ts";

const fileArgument = ["<file>", 'the topology file; "-" is standard input'] as const;

export function addPolicyVerbs(program: Command): void {
  const policy = program
    .command("policy")
    .description("policies: how often each rule decided, tests of a file, a dry run against the routes that are there")
    .action(async (_options: unknown, command: Command) => new Session(command).show({ path: controlPaths.policies, render: policyScreen }));

  policy
    .command("test")
    .argument(...fileArgument)
    .description("run the tests that stand under the policies of a file, without a daemon")
    .action(async (file: string, _options: unknown, command: Command) => testFile(new Session(command), await readDocumentFile(file)));

  policy
    .command("try")
    .argument(...fileArgument)
    .description("which routes the policies of a file would judge otherwise than those in force; nothing is changed")
    .option("--peer <name>", "only this neighbour's import and export")
    .option("--direction <way>", "import or export; both if left out")
    .option("--limit <count>", "how many routes to list; 50 if left out")
    .action(async (file: string, options: TryOptions, command: Command) => tryFile(new Session(command), await readDocumentFile(file), options));
}

interface TryOptions {
  readonly peer?: string;
  readonly direction?: string;
  readonly limit?: string;
}

async function tryFile(session: Session, document: DocumentFile, options: TryOptions): Promise<void> {
  const { peer, direction, limit } = options;
  const trial = (await session.client.post(controlPaths.policyTrial, document, { peer, direction, limit })) as PolicyTrialView;
  session.print(session.json ? [prettyJson(trial)] : trialScreen(trial, session.terminal));
}

/** Prints what is not as expected, one `file:line:column` a line, and sets exit code 1; or one line that says how many there are. */
async function testFile(session: Session, { text, file }: DocumentFile): Promise<void> {
  const [{ parseDocument }, { runPolicyTests }, { printProblem }] = await Promise.all([
    import("#config/parse.ts"),
    import("#daemon/policy-tests.ts"),
    import("#config/problem.ts"),
  ]);
  const parsed = parseDocument(text, file);
  const { count, findings } = parsed.ok ? runPolicyTests(parsed.value.document) : { count: 0, findings: [] };
  const problems = parsed.ok ? parsed.value.locate(findings) : parsed.fault.problems;
  if (problems.length > 0) process.exitCode = exitCodes.caller;
  if (session.json) return session.print([prettyJson({ file, good: problems.length === 0, tests: count, problems })]);
  for (const problem of problems) process.stderr.write(`${printProblem(problem)}\n`);
  if (problems.length === 0) session.print([`${file}: ${count} ${count === 1 ? "test" : "tests"} of policies, all as expected`]);
}
