/** Offline validation. The reader of documents (yaml, zod) is loaded only here: it costs more than all the rest of podway. */
import { FaultError } from "#base/fault.ts";
import type { DocumentFile } from "./document-file.ts";
import { exitCodes } from "./exit-code.ts";
import { prettyJson, type Session } from "./session.ts";

/** Prints what is wrong, one `file:line:column` a line, and sets exit code 1; or one line that says what the file declares. */
export async function checkFile(session: Session, { text, file }: DocumentFile, node: string | undefined): Promise<void> {
  const [{ parseDocument }, { compileNode }, { printProblem }] = await Promise.all([
    import("#config/parse.ts"),
    import("#config/compile.ts"),
    import("#config/problem.ts"),
  ]);
  const parsed = parseDocument(text, file);
  const problems = parsed.ok ? parsed.value.warnings : parsed.fault.problems;
  if (session.json) session.print([prettyJson({ file, good: parsed.ok, problems })]);
  else for (const problem of problems) process.stderr.write(`${printProblem(problem)}\n`);
  if (!parsed.ok) {
    process.exitCode = exitCodes.caller;
    return;
  }
  const { document } = parsed.value;
  const settings = node === undefined ? undefined : compileNode(document, node);
  if (settings?.ok === false) throw new FaultError(settings.fault);
  const counts = [count(Object.keys(document.nodes).length, "node"), count(document.pools.length, "pool"), count(document.peers.length, "outside peer")].join(
    ", ",
  );
  const told =
    settings === undefined ? "" : `; ${node} keeps ${count(settings.value.peers.length, "session")} and ${count(settings.value.pools.length, "pool")}`;
  if (!session.json) session.print([`${file} is good: ${counts}${told}`]);
}

const count = (number: number, noun: string): string => `${number} ${noun}${number === 1 ? "" : "s"}`;
