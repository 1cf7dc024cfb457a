/**
 * Lines to a descriptor without ever blocking or throwing: one write is under way at a time, on a thread of the pool, so that a
 * reader that stops (a full pipe, a stuck journal) holds up nobody. At the limit new lines are dropped, and their number is told.
 */
import { write, writeSync } from "node:fs";

export const lineLimits = { backlogOctets: 1024 * 1024 } as const;

export class LineWriter {
  readonly #fd: number;
  readonly #dropNotice: (count: number) => string;
  #queue: string[] = [];
  #octets = 0;
  #dropped = 0;
  #busy = false;
  #broken = false;
  #idle: (() => void)[] = [];

  /** `dropNotice` makes the line that says how many were dropped. */
  constructor(fd: number, dropNotice: (count: number) => string) {
    this.#fd = fd;
    this.#dropNotice = dropNotice;
  }

  put(line: string): void {
    if (this.#broken) return;
    if (this.#octets + line.length > lineLimits.backlogOctets) {
      this.#dropped++;
      return;
    }
    this.#octets += line.length;
    this.#queue.push(line);
    if (!this.#busy) this.#writeQueue();
  }

  /** Resolves when everything put so far was written, or cannot be. */
  drained(): Promise<void> {
    return this.#busy ? new Promise((resolve) => this.#idle.push(resolve)) : Promise.resolve();
  }

  /** The last moment of a process: what still waits is written at once, if the reader takes it. */
  flushSync(): void {
    const rest = this.#queue.join("\n");
    this.#queue = [];
    if (this.#broken || rest === "") return;
    try {
      writeSync(this.#fd, `${rest}\n`);
    } catch {
      this.#broken = true;
    }
  }

  #writeQueue(): void {
    if (this.#dropped > 0) this.#queue.push(this.#dropNotice(this.#dropped));
    this.#dropped = 0;
    if (this.#queue.length === 0) return this.#rest();
    this.#busy = true;
    this.#write(Buffer.from(`${this.#queue.join("\n")}\n`), this.#octets);
    this.#queue = [];
  }

  #write(bytes: Buffer, octets: number): void {
    write(this.#fd, bytes, (error, written) => {
      if (error?.code === "EAGAIN") return void setTimeout(() => this.#write(bytes, octets), 10).unref();
      if (error) return this.#break();
      if (written < bytes.length) return this.#write(bytes.subarray(written), octets);
      this.#octets -= octets;
      this.#writeQueue();
    });
  }

  /** Nobody reads any more (EPIPE): lines go nowhere from now on. */
  #break(): void {
    this.#broken = true;
    this.#queue = [];
    this.#rest();
  }

  #rest(): void {
    this.#busy = false;
    for (const resolve of this.#idle.splice(0)) resolve();
  }
}
