/** Stations and MRT folders of one node: those whose selector it matches. */
import type { MonitoringSettings } from "#base/settings.ts";
import type { DeclaredNode } from "./declared-node.ts";
import { selectorOf } from "./peer-schema.ts";
import type { Document } from "./schema.ts";

export function compileMonitoring({ monitoring }: Document, self: DeclaredNode): MonitoringSettings {
  const { labels } = self;
  return {
    bmp: monitoring.bmp.flatMap((entry) => {
      const { name, address, port, source, views, statistics } = entry;
      return selectorOf(entry)(labels) ? [{ name, address, port, source, views, statisticsSeconds: statistics }] : [];
    }),
    mrt: monitoring.mrt.flatMap((entry) => {
      const { name, directory, tables, updates, rotate, keep } = entry;
      return selectorOf(entry)(labels) ? [{ name, directory, tableSeconds: tables, updates, rotateSeconds: rotate, keep }] : [];
    }),
  };
}
