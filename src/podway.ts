/** Entry of `podway`: the command line, the labs and what works on this machine itself, joined. */
import { buildProgram, runProgram } from "#cli/main.ts";

const program = buildProgram(async () => ({
  examine: (await import("#host/doctor.ts")).examine,
  depart: (await import("#host/leave.ts")).depart,
  ...(await import("#host/cni-files.ts")),
}));
if (needsLabs(process.argv.slice(2))) (await import("#lab/cli.ts")).addLabCommands(program);
await runProgram(program, process.argv);

/** The labs bring the reader of documents with them, which would double the time that `podway status` takes. */
function needsLabs(words: readonly string[]): boolean {
  const tellingAll = ["help", "completion"];
  const without = program.commands.map((command) => command.name()).filter((name) => !tellingAll.includes(name));
  const verb = words.find((word) => word === "lab" || without.includes(word));
  return verb === undefined || verb === "lab" || words.some((word) => word === "--help" || word === "-h");
}
