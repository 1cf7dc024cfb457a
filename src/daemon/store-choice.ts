/** Which store adapter serves this node; imported only when it is needed (a reflector without a store loads no etcd client). */
import { join } from "node:path";
import type { NodeSettings, Secret } from "#base/settings.ts";
import type { Clock } from "#ports/clock.ts";
import type { Store } from "#ports/store.ts";
import type { Telemetry } from "#ports/telemetry.ts";

export interface StoreParts {
  readonly stateDirectory: string;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly secret: (secret: Secret) => Promise<Uint8Array>;
}

export async function openStore({ store }: NodeSettings, parts: StoreParts): Promise<Store | undefined> {
  switch (store.kind) {
    case "none":
      return undefined;
    case "embedded": {
      const { createMemoryStore } = await import("#adapters/memory-store.ts");
      return createMemoryStore({ clock: parts.clock, directory: join(parts.stateDirectory, "store") });
    }
    case "etcd": {
      const { createEtcdStore } = await import("#adapters/etcd-store.ts");
      return createEtcdStore(store, async (of) => new TextDecoder().decode(await parts.secret(of)));
    }
  }
}
