/** The process that does the work of `npm run fuzz`: its memory is its own, and who started it sees a hang. */
import { emptyTally as noMessages, MessageWorld, messagesPerRound } from "./messages.ts";
import { emptyTally as noSessions, SessionWorld, sessionsPerRound } from "./sessions.ts";

export interface Work {
  readonly kind: "messages" | "sessions";
  readonly seed: number;
  /** Rounds [from, to). */
  readonly from: number;
  readonly to: number;
}
export type Progress =
  | { readonly type: "round"; readonly round: number; readonly residentBytes: number }
  | { readonly type: "done"; readonly tally: object }
  | { readonly type: "failed"; readonly text: string };

/** Rounds between two looks at the memory: collecting all garbage is not free. */
const looks = 20;

function work({ kind, seed, from, to }: Work): object {
  const tally = { messages: noMessages(), sessions: noSessions() };
  const messages = new MessageWorld(),
    sessions = new SessionWorld();
  const step = Math.max(1, Math.floor((to - from) / looks));
  for (let round = from; round < to; round++) {
    if (kind === "messages") messages.round(seed, round, tally.messages);
    else sessions.round(seed, round, tally.sessions);
    const looked = (round - from + 1) % step === 0;
    if (looked) globalThis.gc?.();
    tell({ type: "round", round, residentBytes: looked ? process.memoryUsage().rss : 0 });
  }
  return { rounds: to - from, each: kind === "messages" ? messagesPerRound : sessionsPerRound, ...tally[kind] };
}

function tell(progress: Progress): void {
  process.send!(progress);
}

try {
  tell({ type: "done", tally: work(JSON.parse(process.argv[2]!) as Work) });
} catch (error) {
  const cause = error instanceof Error ? error.cause : undefined;
  tell({ type: "failed", text: `${String(error)}\n${cause instanceof Error ? cause.stack : ""}` });
}
