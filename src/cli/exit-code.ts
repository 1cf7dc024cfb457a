/** What podway's exit says, by whose fault it is; the epilogue of --help is printed from here. */
import type { Fault } from "#base/fault.ts";

export const exitCodes = { ok: 0, caller: 1, usage: 2, unreachable: 3, daemon: 4 } as const;

const meanings: readonly (readonly [number, string])[] = [
  [exitCodes.ok, "done"],
  [exitCodes.caller, "what was asked cannot be: a bad file, an unknown peer, a refused change"],
  [exitCodes.usage, "the command line is not understood"],
  [exitCodes.unreachable, "no daemon answers at the socket, or it may not be opened"],
  [exitCodes.daemon, "the daemon, its store or podway itself failed"],
];

export const exitCodeHelp = ["Exit codes:", ...meanings.map(([code, meaning]) => `  ${code}  ${meaning}`)].join("\n");

const special: Readonly<Record<string, number>> = {
  "cli.usage": exitCodes.usage,
  "cli.unreachable": exitCodes.unreachable,
  "cli.no-permission": exitCodes.unreachable,
};

export function exitCodeOf(fault: Fault): number {
  return special[fault.code] ?? (fault.whose === "caller" ? exitCodes.caller : exitCodes.daemon);
}
