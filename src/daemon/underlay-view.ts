/**
 * What the kernel knows beneath us, asked only for what is new until something moved: a thousand nodes are a thousand questions.
 * A kernel that cannot answer now is asked again: nobody can plan without.
 */
import { setTimeout as pause } from "node:timers/promises";
import { FaultError } from "#base/fault.ts";
import type { Ip } from "#base/ip.ts";
import { note } from "#base/note.ts";
import type { Underlay, UnderlayPath } from "#base/underlay.ts";
import type { Kernel } from "#ports/kernel.ts";
import type { Telemetry } from "#ports/telemetry.ts";

const retryMillis = 1000;

export class UnderlayView {
  readonly #kernel: Kernel;
  readonly #telemetry: Telemetry;
  /** What was answered last, and of which targets. */
  #answer: Underlay | undefined;
  #asked: ReadonlySet<Ip> = new Set();

  constructor(kernel: Kernel, telemetry: Telemetry) {
    this.#kernel = kernel;
    this.#telemetry = telemetry;
  }

  async get(targets: ReadonlySet<Ip>, afresh: boolean): Promise<Underlay> {
    if (afresh || this.#answer === undefined) {
      this.#asked = new Set(targets);
      return (this.#answer = await this.#ask([...targets]));
    }
    const news = [...targets].filter((target) => !this.#asked.has(target));
    if (news.length === 0 && targets.size === this.#asked.size) return this.#answer;
    const answer = news.length === 0 ? this.#answer : await this.#ask(news),
      paths = new Map<Ip, UnderlayPath>();
    for (const target of targets) {
      const path = answer.paths.get(target) ?? this.#answer.paths.get(target);
      if (path) paths.set(target, path);
    }
    this.#asked = new Set(targets);
    return (this.#answer = { ...answer, paths });
  }

  async #ask(targets: readonly Ip[]): Promise<Underlay> {
    for (let said = ""; ;) {
      try {
        return await this.#kernel.underlay(targets);
      } catch (cause) {
        if (!(cause instanceof FaultError)) throw cause;
        if (said !== cause.message)
          this.#telemetry.note(note("warn", "kernel.underlay", `what lies beneath cannot be seen, asked again in a second: ${cause.message}`));
        said = cause.message;
        await pause(retryMillis, undefined, { ref: false });
      }
    }
  }
}
