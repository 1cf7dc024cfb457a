/** Monitoring as a part of the daemon: a link per BMP station, a writer per MRT folder, following the document. */
import { ip4Number } from "#base/ip.ts";
import type { BmpSettings, MrtSettings, NodeSettings } from "#base/settings.ts";
import type { Clock } from "#ports/clock.ts";
import type { Net } from "#ports/net.ts";
import type { Telemetry } from "#ports/telemetry.ts";
import { BmpStation } from "#bgp/monitor/station.ts";
import type { Speaker, SpeakerObserver } from "#bgp/speaker.ts";
import { BmpLink } from "./bmp-link.ts";
import type { MonitoringView } from "./control.ts";
import { MrtWriter } from "./mrt-writer.ts";
import type { Task } from "./tasks.ts";

/** Stations take peer ids from here downwards; no range and no document has so many neighbours (peer-table.ts). */
const firstReader = 0x1fff;

export interface MonitoringParts {
  readonly settings: NodeSettings;
  readonly version: string;
  readonly net: Net;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly speaker: Speaker;
  /** Another turn of the speaker is wanted. */
  readonly wake: () => void;
  readonly portsOf: (connection: number) => { readonly local: number; readonly remote: number };
}

export interface Monitoring extends Task {
  follow(settings: NodeSettings): void;
  /** After each turn of the speaker. */
  flush(): void;
  view(): MonitoringView;
}

interface Running {
  readonly key: string;
  readonly part: BmpLink | MrtWriter;
  readonly reader: number | undefined;
  readonly stop: AbortController;
  readonly done: Promise<void>;
}

export function createMonitoring(parts: MonitoringParts): Monitoring {
  const running = new Map<string, Running>();
  let { settings } = parts,
    isRunning = false;
  const readers = new Set<number>();

  const begin = (name: string, key: string, part: BmpLink | MrtWriter, reader?: number): void => {
    const stop = new AbortController();
    parts.speaker.observe(part satisfies SpeakerObserver);
    running.set(name, { key, part, reader, stop, done: part.run(stop.signal) });
  };
  const end = async (name: string): Promise<void> => {
    const one = running.get(name);
    if (!one) return;
    running.delete(name);
    parts.speaker.unobserve(one.part);
    one.stop.abort();
    await one.done;
    if (one.reader !== undefined) readers.delete(one.reader);
  };
  const follow = (): void => {
    const { bmp, mrt } = settings.monitoring ?? { bmp: [], mrt: [] };
    const wanted = new Map<string, BmpSettings | MrtSettings>([...bmp, ...mrt].map((one) => [`${"address" in one ? "bmp" : "mrt"} ${one.name}`, one]));
    for (const [name, { key }] of Array.from(running)) {
      const next = wanted.get(name);
      if (!next || JSON.stringify(next) !== key) void end(name);
    }
    for (const [name, one] of wanted) {
      if (running.has(name)) continue;
      if ("directory" in one) begin(name, JSON.stringify(one), writer(parts, one));
      else {
        const reader = freeReader(readers);
        begin(name, JSON.stringify(one), link(parts, one, reader), reader);
      }
    }
  };
  const links = (): BmpLink[] => [...running.values()].flatMap(({ part }) => (part instanceof BmpLink ? [part] : []));
  return {
    name: "monitoring",
    follow(next) {
      settings = next;
      if (isRunning) follow();
    },
    flush() {
      if (running.size > 0) for (const one of links()) one.flush();
    },
    view: () => ({ bmp: links().map((one) => one.view), mrt: [...running.values()].flatMap(({ part }) => (part instanceof MrtWriter ? [part.view] : [])) }),
    async run(signal, ready) {
      isRunning = true;
      follow();
      ready();
      if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
      await Promise.all([...running.keys()].map(end));
    },
  };
}

function freeReader(taken: Set<number>): number {
  let reader = firstReader;
  while (taken.has(reader)) reader--;
  taken.add(reader);
  return reader;
}

function link(parts: MonitoringParts, settings: BmpSettings, reader: number): BmpLink {
  const { net, clock, telemetry, speaker, version, portsOf } = parts,
    { node, asn, routerId } = parts.settings;
  const machine = {
    reader,
    prePolicy: settings.views.includes("pre-policy"),
    locRib: settings.views.includes("loc-rib"),
    sysName: node,
    sysDescr: `podway ${version}`,
    asn,
    routerId: ip4Number(routerId),
    portsOf,
  };
  return new BmpLink({ settings, net, clock, telemetry, station: () => new BmpStation(machine, speaker), more: parts.wake });
}

function writer(parts: MonitoringParts, settings: MrtSettings): MrtWriter {
  const { clock, telemetry, speaker } = parts,
    { node, asn, routerId, address } = parts.settings;
  return new MrtWriter({ settings, node, identity: { asn, routerId: ip4Number(routerId), address }, speaker, clock, telemetry });
}
