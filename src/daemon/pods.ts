/** Opens what a node needs for its pods, and closes it: the journal, the links, the allocator over both. */
import { join } from "node:path";
import { FaultError } from "#base/fault.ts";
import { note } from "#base/note.ts";
import type { NodeSettings } from "#base/settings.ts";
import type { Prefix } from "#base/prefix.ts";
import type { PodChange } from "#ipam/pod-terms.ts";
import type { Store } from "#ports/store.ts";
import type { Telemetry } from "#ports/telemetry.ts";
import { PodBook } from "./pod-book.ts";
import { PodMirror } from "./pod-mirror.ts";
import { PodPart } from "./pod-part.ts";
import { followPodSpool, makePodSpool, type PodSpoolOptions } from "./pod-spool.ts";
import { PodRouter } from "./pod-routing.ts";
import type { Reconciler } from "./reconcile.ts";
import type { NodeStreams } from "./streams.ts";
import type { Task } from "./tasks.ts";

export interface Pods {
  readonly part: PodPart;
  readonly router: PodRouter;
  readonly task: Task;
}

export interface PodsParts {
  readonly settings: NodeSettings;
  readonly telemetry: Telemetry;
  readonly stateDirectory: string;
  readonly store: Store;
}

/** Undefined, and a note, if the journal cannot be used: the node forwards all the same, and hands out nothing it may have handed out before. */
export async function openPods(
  { settings, telemetry, stateDirectory, store }: PodsParts,
  streams: NodeStreams,
  reconciler: Reconciler,
): Promise<Pods | undefined> {
  const { PodLinks } = await import("#adapters/pod-links.ts");
  try {
    const marked: { mirror?: PodMirror } = {};
    const written = (changes: readonly PodChange[]): void => {
      for (const pool of new Set(changes.map(({ before, after }) => (after ?? before)?.pool))) if (pool !== undefined) marked.mirror?.mark(pool);
    };
    const book = await PodBook.open({ path: join(stateDirectory, "pods.journal"), cluster: settings.cluster, written });
    const mirror = (marked.mirror = new PodMirror({ store, node: settings.node, machine: book.machine }));
    const stopping = new AbortController();
    const router = new PodRouter({ reconciler, metric: settings.kernel.metric, want: (routes) => streams.pods$.next(routes) });
    const links = new PodLinks();
    const former = (pool: string, cidr: Prefix): Promise<readonly number[]> => mirror.read(pool, cidr, stopping.signal);
    const part = new PodPart({ book, links, routing: router, settings, telemetry, former, wallSeconds: () => Math.floor(Date.now() / 1000) });
    part.uplink(await links.mtuOf(settings.address));
    const spool: PodSpoolOptions = {
      path: join(stateDirectory, "cni-spool"),
      telemetry,
      recordsOf: (key) => book.machine.of(key),
      detach: (key) => part.detach(key),
      isReady: () => part.readiness().ready,
    };
    await makePodSpool(spool.path);
    const task: Task = {
      name: "pods",
      async run(signal, ready) {
        ready();
        signal.addEventListener("abort", () => stopping.abort(), { once: true });
        await Promise.all([mirror.run(signal), followPodSpool(spool, signal)]);
        await book.close();
        links.close();
      },
    };
    return { part, router, task };
  } catch (cause) {
    if (!(cause instanceof FaultError)) throw cause;
    telemetry.note(note("error", cause.fault.code, `no pod gets an address here: ${cause.fault.text}`));
    return undefined;
  }
}
