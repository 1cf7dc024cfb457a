/** Waiting for two tables to be the same. */
import { awaitFact } from "#lab/command.ts";

const settleMillis = 8000;

/** Polls until `look` finds no difference; fails with what differs still. */
export async function untilSame(where: string, look: () => Promise<readonly string[]> | readonly string[], millis = settleMillis): Promise<void> {
  let last: readonly string[] = [];
  const same = await awaitFact(async () => ((last = await look()).length === 0 ? true : undefined), { millis, everyMillis: 50 });
  if (!same) throw new Error(`${where}: ${last.slice(0, 4).join("; ")}${last.length > 4 ? `; and ${last.length - 4} more` : ""}`);
}
