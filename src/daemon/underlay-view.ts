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
  #paths = new Map<Ip, UnderlayPath | undefined>();

  constructor(kernel: Kernel, telemetry: Telemetry) {
    this.#kernel = kernel;
    this.#telemetry = telemetry;
  }

  async get(targets: ReadonlySet<Ip>, afresh: boolean): Promise<Underlay> {
    const known = afresh ? new Map<Ip, UnderlayPath | undefined>() : this.#paths;
    const answer = await this.#ask([...targets].filter((target) => !known.has(target)));
    const next = new Map<Ip, UnderlayPath | undefined>();
    for (const target of targets) next.set(target, answer.paths.get(target) ?? known.get(target));
    this.#paths = next;
    const paths = new Map<Ip, UnderlayPath>();
    for (const [target, path] of next) if (path) paths.set(target, path);
    return { ...answer, paths };
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
