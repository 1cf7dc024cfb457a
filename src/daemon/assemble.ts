/** Settings → adapters, machines and tasks: the only place with `new` of everything. The entry adds the doors. */
import { mkdir } from "node:fs/promises";
import { readSecret } from "#adapters/secrets.ts";
import { systemNet } from "#adapters/sockets.ts";
import { systemClock } from "#adapters/system-clock.ts";
import type { SystemTelemetry } from "#adapters/telemetry.ts";
import type { Secret } from "#base/settings.ts";
import type { Document } from "#config/schema.ts";
import type { NodeSettings } from "#base/settings.ts";
import { createBgp } from "./bgp-task.ts";
import type { Control } from "./control.ts";
import { createControl } from "./daemon-control.ts";
import { DocumentKeeper } from "./document.ts";
import { createNode, type NodePart } from "./node-part.ts";
import { openRestartMark } from "./restart-mark.ts";
import { openStore } from "./store-choice.ts";
import type { Task } from "./tasks.ts";

export interface DaemonOptions {
  readonly file: string;
  readonly node: string;
  readonly stateDirectory: string;
  readonly version: string;
  readonly telemetry: SystemTelemetry;
  /** The file, read and compiled. */
  readonly first: { readonly text: string; readonly document: Document; readonly settings: NodeSettings; readonly warnings: readonly string[] };
}

export interface Daemon {
  readonly control: Control;
  /** In the order of their start. */
  readonly tasks: readonly Task[];
  /** SIGHUP. */
  reload(): Promise<void>;
}

export async function assemble(options: DaemonOptions): Promise<Daemon> {
  const { telemetry, first } = options, clock = systemClock;
  await mkdir(options.stateDirectory, { recursive: true, mode: 0o750 });
  const secret = (of: Secret): Promise<Uint8Array> =>
    readSecret(of, { credentialsDirectory: process.env.CREDENTIALS_DIRECTORY, note: (said) => telemetry.note(said) });
  const store = await openStore(first.settings, { stateDirectory: options.stateDirectory, clock, telemetry, secret });
  let node: NodePart | undefined;
  const keeper = new DocumentKeeper({ ...options, held: () => node?.held() ?? [] }, first);
  if (store) await keeper.open(store);
  const settings = keeper.settings;
  const bgp = createBgp({
    settings, clock, telemetry, secret, net: systemNet,
    restart: openRestartMark(options.stateDirectory, settings.routerId),
    decided: () => node?.decided(),
  });
  node = await createNode({ settings, store, clock, telemetry, bgp, stateDirectory: options.stateDirectory, version: options.version });
  keeper.onChange((next) => {
    bgp.follow(next);
    node.follow(next);
  });
  const control = createControl({ ...options, clock, keeper, bgp, node, store });
  const documents: Task = {
    name: "document",
    async run(signal, ready) {
      ready();
      await keeper.watch(signal);
    },
  };
  const closing: Task | undefined = store && {
    name: "store",
    async run(signal, ready) {
      ready();
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
      await store.close();
    },
  };
  return { control, tasks: [...(closing ? [closing] : []), documents, ...node.tasks, bgp], reload: () => keeper.reload() };
}
