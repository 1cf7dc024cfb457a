/**
 * What an operator does to the document: apply, on trial or for good; confirm, history, rollback (product §6.3). Every write is
 * a compare-and-swap on what this daemon has seen last; whatever fails, nothing changes.
 */
import { stat } from "node:fs/promises";
import { writeFileAtomic } from "#adapters/files.ts";
import { type CallerFault, callerFault, failed, FaultError, ok, type Outcome } from "#base/fault.ts";
import type { Store } from "#ports/store.ts";
import type { ApplyTerms, PlanView } from "./control.ts";
import { type Change, type Standing, writeDocument } from "./document-change.ts";
import { type HistoryEntry, type Origin, readHistory } from "./document-history.ts";
import { interpret, type Reading } from "./document-text.ts";
import type { Trial } from "./document-trial.ts";
import { trialKey } from "./document-trial.ts";
import { type Pending, TrialKeeper } from "./trial-keeper.ts";

/** The keeper of the document as this desk needs it (document.ts). */
export interface DocumentHost {
  readonly store: Store | undefined;
  readonly file: string;
  readonly node: string;
  /** What rules, and its revision in the store. */
  readonly text: string;
  readonly revision: bigint | undefined;
  readonly fileText: string;
  /** Why the store's document is not followed. */
  readonly refusal: string | undefined;
  plan(text: string, file: string): Outcome<PlanView, CallerFault>;
  /** Lets a document rule that is the file's, or on trial without a store. */
  rule(reading: Reading): void;
  /** The file was replaced by this text. */
  keepFile(text: string): void;
  /** Resolves when the revision is followed, or after a while. */
  followed(revision: bigint): Promise<void>;
  say(event: string, text: string): void;
}

export type Applied = PlanView & { readonly revision: string };

type Proposed = Omit<Change, "node">;

const unconfirmed = ({ trial, secondsLeft }: Pending): CallerFault =>
  callerFault(
    "config.unconfirmed",
    `what ${trial.by} applied goes back in ${secondsLeft} s unless it is confirmed: \`podway confirm\` it, or \`podway rollback\`, and then apply.`,
  );
const noStore = (file: string, more: string): CallerFault =>
  callerFault("config.no-store", `this node has no store, so its file rules: edit ${file} and send SIGHUP${more}.`);

export class DocumentDesk {
  readonly #host: DocumentHost;
  readonly trials: TrialKeeper;

  constructor(host: DocumentHost) {
    this.#host = host;
    this.trials = new TrialKeeper(host.node, (trial) => this.#takeBack(trial, "not confirmed"));
  }

  /** Puts a document into the store by compare-and-swap on what rules here. Whatever fails, nothing changes. */
  async apply(text: string, file: string, { by, confirmSeconds }: ApplyTerms = { by: "unknown" }): Promise<Outcome<Applied, CallerFault>> {
    const plan = this.#host.plan(text, file);
    if (!plan.ok) return plan;
    const { changes } = plan.value,
      refused = changes.find((change) => change.effect === "refused");
    if (refused) return failed(callerFault("config.refused", `${refused.path}: ${refused.text}`));
    if (this.trials.pending) return failed(unconfirmed(this.trials.pending));
    if (this.#host.store)
      return this.#write(this.#host.store, { text, by, changes, confirmSeconds, how: confirmSeconds === undefined ? "apply" : "apply, to be confirmed" });
    if (confirmSeconds === undefined) return failed(noStore(this.#host.file, ", or try it with `podway apply --confirm 5m`"));
    return this.#try(text, { by, changes, confirmSeconds });
  }

  /** Keeps what waits to be confirmed. Without a store the file takes it over. Answers the revision that is kept. */
  async confirm(): Promise<Outcome<string, CallerFault>> {
    const { pending } = this.trials;
    if (!pending) return failed(callerFault("config.nothing-to-confirm", "no apply waits to be confirmed; `podway history` shows what was applied."));
    if (!this.#host.store) return this.#keepInFile();
    return this.#asked(async () => {
      const { done } = await this.#host.store!.remove(trialKey, pending.trial.revision);
      return done
        ? ok(String(pending.trial.revision))
        : failed(callerFault("config.changed-meanwhile", "it was confirmed or taken back meanwhile: `podway history` shows which."));
    });
  }

  /** What was applied before, newest first, and what waits. */
  async history(): Promise<Outcome<{ readonly entries: readonly HistoryEntry[]; readonly pending: Pending | undefined }, CallerFault>> {
    const { pending } = this.trials;
    return this.#host.store ? this.#asked(async () => ok({ entries: await readHistory(this.#host.store!), pending })) : ok({ entries: [], pending });
  }

  /** Puts a former document into force: the one before what waits, the one before what rules, or that of `revision`. */
  async rollback(revision: bigint | undefined, by: string): Promise<Outcome<Applied, CallerFault>> {
    const { pending } = this.trials;
    const isTrial = pending !== undefined && revision === undefined;
    if (!this.#host.store && !isTrial) return failed(noStore(this.#host.file, ", history is kept by a store alone"));
    return this.#asked(async () => {
      const text = isTrial ? ok(pending.trial.back) : await this.#former(revision);
      if (!text.ok) return text;
      const plan = this.#host.plan(text.value, "the former document");
      if (!plan.ok) return plan;
      const { changes } = plan.value,
        refused = changes.find((change) => change.effect === "refused");
      if (refused && !isTrial) return failed(callerFault("config.refused", `${refused.path}: ${refused.text}`));
      if (this.#host.store) return this.#write(this.#host.store, { text: text.value, by, changes, how: "rollback" });
      await this.#takeBack(pending!.trial, "rollback");
      return ok({ changes, revision: "file" });
    });
  }

  async #former(revision: bigint | undefined): Promise<Outcome<string, CallerFault>> {
    const entries = await readHistory(this.#host.store!),
      now = this.#host.revision ?? 0n;
    const found = revision === undefined ? entries.find((entry) => entry.revision < now) : entries.find((entry) => entry.revision === revision);
    if (found) return ok(found.text);
    const what = revision === undefined ? "nothing before what rules now" : `no revision ${revision}`;
    return failed(callerFault("config.no-such-revision", `the history holds ${what}; \`podway history\` lists what there is.`));
  }

  get #standing(): Standing {
    return { revision: this.#host.revision, text: this.#host.text, trial: this.trials.trial };
  }

  async #write(store: Store, change: Proposed): Promise<Outcome<Applied, CallerFault>> {
    if (this.#host.refusal !== undefined) return failed(callerFault("config.not-followed", `${this.#host.refusal}; apply from a node that follows it`));
    return this.#asked(async () => {
      const revision = await writeDocument(store, this.#standing, { ...change, node: this.#host.node });
      if (revision === undefined)
        return failed(callerFault("config.changed-meanwhile", "somebody else changed the document meanwhile: look at `podway plan` again, then apply."));
      await this.#host.followed(revision);
      return ok({ changes: change.changes, revision: String(revision) });
    });
  }

  /** What the store does not answer is a fault of the request. */
  async #asked<T>(ask: () => Promise<Outcome<T, CallerFault>>): Promise<Outcome<T, CallerFault>> {
    try {
      return await ask();
    } catch (cause) {
      if (cause instanceof FaultError)
        return failed(callerFault("config.store-away", `the store did not confirm it, so look at \`podway plan\` before you try again: ${cause.fault.text}`));
      throw cause;
    }
  }

  /** Without a store: a document rules for a while, and the file again after it, or after any start of this daemon. */
  #try(text: string, { by, changes, confirmSeconds }: Pick<Proposed, "by" | "changes"> & { readonly confirmSeconds: number }): Outcome<Applied, CallerFault> {
    const read = interpret(text, "the document on trial", this.#host.node);
    if (!read.ok) return read;
    const trial: Trial = { revision: 0n, at: Date.now(), seconds: confirmSeconds, by, node: this.#host.node, back: this.#host.fileText };
    this.#host.rule(read.value);
    this.trials.see(trial, false);
    this.trials.seeDocument(trial.revision, false);
    return ok({ changes, revision: "on trial" });
  }

  async #keepInFile(): Promise<Outcome<string, CallerFault>> {
    const { file } = this.#host,
      { text } = this.#host;
    try {
      await writeFileAtomic(file, text, (await stat(file)).mode & 0o777);
    } catch (cause) {
      return failed(
        callerFault(
          "config.file-not-written",
          `${file} cannot be written (${(cause as Error).message}), so the trial goes on: put the document there and send SIGHUP.`,
        ),
      );
    }
    this.#host.keepFile(text);
    this.trials.see(undefined, false);
    return ok("file");
  }

  /** The document before the trial rules again. */
  async #takeBack(trial: Trial, how: Origin): Promise<void> {
    const { node, file } = this.#host,
      store = this.#host.store;
    this.#host.say("config.taken-back", `the document that ${trial.by} applied was not kept: the one before rules again`);
    if (store) {
      const plan = this.#host.plan(trial.back, "the former document");
      const change = { text: trial.back, by: trial.by, node, how, changes: plan.ok ? plan.value.changes : [] };
      await writeDocument(store, { revision: trial.revision, text: this.#host.text, trial }, change);
      return;
    }
    this.trials.see(undefined, false);
    const read = interpret(trial.back, file, node);
    if (read.ok) this.#host.rule(read.value);
  }
}
