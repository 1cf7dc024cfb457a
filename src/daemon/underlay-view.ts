/** What the kernel knows beneath us, asked only for what is new until something moved: a thousand nodes are a thousand questions. */
import type { Ip } from "#base/ip.ts";
import type { Underlay, UnderlayPath } from "#base/underlay.ts";
import type { Kernel } from "#ports/kernel.ts";

export class UnderlayView {
  readonly #kernel: Kernel;
  #paths = new Map<Ip, UnderlayPath | undefined>();

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  async get(targets: ReadonlySet<Ip>, afresh: boolean): Promise<Underlay> {
    const known = afresh ? new Map<Ip, UnderlayPath | undefined>() : this.#paths;
    const asked = [...targets].filter((target) => !known.has(target));
    const answer = await this.#kernel.underlay(asked);
    const next = new Map<Ip, UnderlayPath | undefined>();
    for (const target of targets) next.set(target, answer.paths.get(target) ?? known.get(target));
    this.#paths = next;
    const paths = new Map<Ip, UnderlayPath>();
    for (const [target, path] of next) if (path) paths.set(target, path);
    return { ...answer, paths };
  }
}
