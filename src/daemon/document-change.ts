/** Writes of the document: each one transaction over the document, its history and a trial, on condition that nobody was quicker. */
import type { Compare, Store, Write } from "#ports/store.ts";
import type { PlanView } from "./control.ts";
import { type Author, type Origin, rememberDocument, trimHistory } from "./document-history.ts";
import { documentKey, encodeRecord } from "./document-text.ts";
import { type Trial, trialKey, writeTrial } from "./document-trial.ts";

/** What the store holds, as this daemon has seen it last. */
export interface Standing {
  readonly revision: bigint | undefined;
  readonly text: string;
  /** Also one that is void. */
  readonly trial: Trial | undefined;
}

export interface Change extends Author {
  readonly text: string;
  readonly how: Origin;
  readonly changes: PlanView["changes"];
  /** Goes back after this unless it is confirmed. */
  readonly confirmSeconds?: number | undefined;
}

/** Answers the new revision; undefined if the store holds something else than `standing`. Rejects with the store's fault. */
export async function writeDocument(store: Store, standing: Standing, change: Change): Promise<bigint | undefined> {
  const { revision: before, trial } = standing,
    { by, node, confirmSeconds } = change;
  const compares: Compare[] = [
    before === undefined ? { key: documentKey, is: "absent" } : { key: documentKey, is: "at", modRevision: before },
    trial === undefined ? { key: trialKey, is: "absent" } : { key: trialKey, is: "at", modRevision: trial.revision },
  ];
  const writes: Write[] = [{ kind: "put", key: documentKey, value: encodeRecord(change.text) }, rememberDocument(before, change)];
  if (confirmSeconds !== undefined) writes.push(writeTrial({ by, node, seconds: confirmSeconds, back: standing.text }));
  else if (trial) writes.push({ kind: "delete", key: trialKey });
  const { done, revision } = await store.transact(compares, writes);
  if (!done) return undefined;
  await trimHistory(store).catch(() => undefined); // the next change trims as well
  return revision;
}
