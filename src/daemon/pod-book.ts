/**
 * The pod addresses of this node and their journal: a step is decided in memory at once, and told only when it is on the disk. Steps that
 * wait for the disk together share one write and one sync; if that fails, all that were not written are taken back, the last first.
 */
import { type JournalOwner, LineJournal } from "#adapters/line-journal.ts";
import { type Fault, failed, FaultError, ok, type Outcome, worldFault } from "#base/fault.ts";
import type { Ip } from "#base/ip.ts";
import type { PodChange, PodRecord } from "#ipam/pod-terms.ts";
import { PodAddresses } from "#ipam/pods.ts";

const owner: JournalOwner = { name: "the journal of pod addresses", code: "ipam" };
const schema = 1;

interface Image {
  readonly schema: typeof schema;
  readonly cluster: string;
  readonly records: readonly PodRecord[];
}
/** A record as it is now, or the address that has none any more. */
type Step = PodRecord | { readonly free: Ip };

interface Waiter {
  readonly changes: readonly PodChange[];
  readonly resolve: (outcome: Outcome<void>) => void;
}

export interface PodBookOptions {
  readonly path: string;
  readonly cluster: string;
  /** Called after each durable batch. */
  readonly written: (changes: readonly PodChange[]) => void;
}

export class PodBook {
  readonly machine = new PodAddresses();
  readonly #options: PodBookOptions;
  readonly #journal: LineJournal<Image, Step>;
  #waiting: Waiter[] = [];
  #isDraining = false;
  #drained: Promise<void> = Promise.resolve();
  #closed = false;

  private constructor(options: PodBookOptions, journal: LineJournal<Image, Step>) {
    this.#options = options;
    this.#journal = journal;
  }

  /** Rejects with a sentence if the journal cannot be read, is damaged or is another cluster's. */
  static async open(options: PodBookOptions): Promise<PodBook> {
    const empty: Image = { schema, cluster: options.cluster, records: [] };
    const { journal, content } = await LineJournal.open<Image, Step>(options.path, owner, empty);
    const image = content.image;
    if (image !== undefined && (image.schema !== schema || image.cluster !== options.cluster)) {
      await journal.close();
      const whose = image.schema === schema ? `cluster ${image.cluster}` : `a newer podwayd (schema ${String(image.schema)})`;
      throw new FaultError(
        worldFault("ipam.journal-foreign", `${options.path} is of ${whose}; move it away, or give this daemon a state directory of its own`),
      );
    }
    const records = new Map((image?.records ?? []).map((record) => [record.address, record]));
    for (const step of content.steps) {
      if ("free" in step) records.delete(step.free);
      else {
        records.delete(step.address);
        records.set(step.address, step);
      }
    }
    const book = new PodBook(options, journal);
    book.machine.load(records.values());
    return book;
  }

  /**
   * Resolves once everything decided so far, `changes` last, is on the disk. A fault: it could not be written and `changes` are taken
   * back; with them whatever was decided after them and not yet written.
   */
  commit(changes: readonly PodChange[]): Promise<Outcome<void>> {
    if (this.#closed) {
      this.machine.undo(changes);
      return Promise.resolve(failed(worldFault("ipam.try-later", "podwayd is stopping; try again")));
    }
    return new Promise((resolve) => {
      this.#waiting.push({ changes, resolve });
      if (!this.#isDraining) this.#drained = this.#drain();
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#drained;
    await this.#journal.close();
  }

  async #drain(): Promise<void> {
    this.#isDraining = true;
    while (this.#waiting.length > 0) {
      // What the requests of this turn of the loop decide goes into one write.
      await new Promise((resolve) => setImmediate(resolve));
      const batch = this.#waiting;
      this.#waiting = [];
      const changes = batch.flatMap((waiter) => waiter.changes);
      const fault = await this.#write(changes);
      if (fault !== undefined) this.#takeBack([...batch, ...this.#waiting], fault);
      else {
        for (const waiter of batch) waiter.resolve(ok(undefined));
        if (changes.length > 0) this.#options.written(changes);
      }
    }
    // Without a turn in between: who commits from now on starts the next.
    this.#isDraining = false;
  }

  async #write(changes: readonly PodChange[]): Promise<Fault | undefined> {
    if (changes.length === 0) return undefined;
    try {
      await this.#journal.append(changes.map(({ address, after }): Step => after ?? { free: address }));
    } catch (cause) {
      const text = cause instanceof FaultError ? cause.fault.text : String(cause);
      return worldFault("ipam.try-later", text);
    }
    // The batch is durable: that the file stays long is no reason to refuse it.
    if (this.#journal.isLong && this.#waiting.length === 0) await this.#journal.rewrite(this.#image()).catch(() => undefined);
    return undefined;
  }

  #image(): Image {
    return { schema, cluster: this.#options.cluster, records: [...this.machine.records()] };
  }

  #takeBack(waiters: readonly Waiter[], fault: Fault): void {
    this.#waiting = [];
    this.machine.undo(waiters.flatMap((waiter) => waiter.changes));
    for (const waiter of waiters) waiter.resolve(failed(fault));
  }
}
