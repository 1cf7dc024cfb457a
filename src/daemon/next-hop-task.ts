/**
 * Next hops as the kernel sees them: it is asked about each when it first appears, and about all when links, addresses or other
 * people's routes move. A next hop on a link of ours costs nothing, one behind a gateway 1; the metrics of kernel routes are
 * orders of preference among routes to one destination, not distances, and are not compared.
 */
import { note } from "#base/note.ts";
import type { UnderlayPath } from "#base/underlay.ts";
import { unreachable } from "#bgp/rib/next-hops.ts";
import type { Rib } from "#bgp/rib/rib.ts";
import type { Kernel } from "#ports/kernel.ts";
import type { Telemetry } from "#ports/telemetry.ts";
import type { Task } from "./tasks.ts";
import { UnderlayView } from "./underlay-view.ts";

export interface NextHopParts {
  readonly rib: Rib;
  readonly telemetry: Telemetry;
  readonly openKernel: () => Promise<Kernel>;
  /** Costs changed: the speaker should decide. */
  readonly changed: () => void;
}

export class NextHopTask implements Task {
  readonly name = "next hops";
  readonly #parts: NextHopParts;
  #wanted: PromiseWithResolvers<void> = Promise.withResolvers();
  /** Something moved beneath: what was answered before may not hold any more. */
  #isAfresh = false;

  constructor(parts: NextHopParts) {
    this.#parts = parts;
    const hops = parts.rib.attributes.nextHops!;
    parts.telemetry.gauge("podway_bgp_next_hops", "Next hops of paths held.", () => hops.all().length);
  }

  /** The speaker decided something: there may be next hops nobody asked about. */
  decided(): void {
    if (this.#parts.rib.attributes.nextHops!.takeNews()) this.#wanted.resolve();
  }

  async run(signal: AbortSignal, ready: () => void): Promise<void> {
    const { rib, telemetry, changed } = this.#parts,
      kernel = await this.#parts.openKernel(),
      view = new UnderlayView(kernel, telemetry),
      listening = this.#listen(kernel, signal);
    signal.addEventListener("abort", () => this.#wanted.resolve(), { once: true });
    ready();
    while (!signal.aborted) {
      await this.#wanted.promise;
      this.#wanted = Promise.withResolvers();
      if (signal.aborted) break;
      const afresh = this.#isAfresh,
        all = rib.attributes.nextHops!.all();
      this.#isAfresh = false;
      const { paths } = await view.get(new Set(all), afresh);
      rib.resolveNextHops(new Map(all.map((ip) => [ip, costOf(paths.get(ip))] as const)));
      changed();
    }
    await listening;
    kernel.close();
  }

  async #listen(kernel: Kernel, signal: AbortSignal): Promise<void> {
    try {
      for await (const event of kernel.events(signal)) {
        if (event.kind === "changed" && !event.tables.has("underlay")) continue;
        this.#isAfresh = true;
        this.#wanted.resolve();
      }
    } catch (cause) {
      if (!signal.aborted)
        this.#parts.telemetry.note(
          note("error", "bgp.next-hops", `changes of the kernel's routes are not heard, so next hops stay as they are: ${(cause as Error).message}`),
        );
    }
  }
}

function costOf(path: UnderlayPath | undefined): number {
  if (!path || (!path.local && path.hops.length === 0)) return unreachable;
  return path.local || path.hops.every((hop) => hop.gateway === undefined) ? 0 : 1;
}
