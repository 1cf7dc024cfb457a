/** Entry of `podway`: the command line and the labs, joined. */
import { buildProgram, runProgram } from "#cli/main.ts";
import { addLabCommands } from "#lab/cli.ts";

const program = buildProgram();
addLabCommands(program);
await runProgram(program, process.argv);
