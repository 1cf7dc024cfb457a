/** What happened to addresses beside their pods' will: forced releases, moves between nodes, claims lost. Bounded, on the disk: `podway ip audit`. */
import { type JournalOwner, LineJournal } from "#adapters/line-journal.ts";
import type { Ip } from "#base/ip.ts";
import type { AuditView } from "./pod-control.ts";

const owner: JournalOwner = { name: "the audit trail of pod addresses", code: "audit" };
/** Entries that are kept; the oldest go. */
const auditEntries = 1000;

export interface AuditEntry {
  readonly event: AuditView["event"];
  readonly address: Ip;
  readonly pool: string;
  /** Node that had it before (forced, moved) or has it now (lost). */
  readonly node?: string;
  readonly owner?: string;
  readonly containerId?: string;
}
type Timed = AuditEntry & { readonly at: number };

export class PodAudit {
  readonly #journal: LineJournal<readonly Timed[], Timed>;
  readonly #entries: Timed[];
  readonly #wallSeconds: () => number;
  #writing: Promise<void> = Promise.resolve();

  private constructor(journal: LineJournal<readonly Timed[], Timed>, entries: Timed[], wallSeconds: () => number) {
    this.#journal = journal;
    this.#entries = entries;
    this.#wallSeconds = wallSeconds;
  }

  /** Rejects with a sentence if the file is damaged. */
  static async open(path: string, wallSeconds: () => number): Promise<PodAudit> {
    const { journal, content } = await LineJournal.open<readonly Timed[], Timed>(path, owner, []);
    return new PodAudit(journal, [...(content.image ?? []), ...content.steps].slice(-auditEntries), wallSeconds);
  }

  /** On the disk when it resolves; a full disk loses the entry and stops nothing. */
  write(entry: AuditEntry): Promise<void> {
    const timed = { ...entry, at: this.#wallSeconds() };
    this.#entries.push(timed);
    if (this.#entries.length > auditEntries) this.#entries.shift();
    return (this.#writing = this.#writing.then(() => this.#append(timed)).catch(() => undefined));
  }
  async close(): Promise<void> {
    await this.#writing;
    await this.#journal.close();
  }

  /** The latest last. */
  list(): readonly AuditView[] {
    return this.#entries.map(({ at, event, address, pool, node, owner: whose, containerId }) => ({
      at: new Date(at * 1000).toISOString(),
      event,
      address,
      pool,
      node: node ?? null,
      owner: whose ?? null,
      containerId: containerId ?? null,
    }));
  }

  async #append(entry: Timed): Promise<void> {
    await this.#journal.append([entry]);
    if (this.#journal.isLong) await this.#journal.rewrite(this.#entries);
  }
}
