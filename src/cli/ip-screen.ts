/** Pod addresses for a person: who has what, which pools there are, what a check found. */
import type { AddressCheckView, AddressView, AuditView, PoolView } from "#daemon/pod-control.ts";
import { printable, wrap } from "./display-text.ts";
import { type Cell, type Column, table } from "./table.ts";
import type { Paint, Terminal } from "./terminal.ts";

const addressColumns: readonly Column[] = [
  { head: "address" },
  { head: "state" },
  { head: "owner", least: 8 },
  { head: "container", least: 12 },
  { head: "interface", leaves: 2 },
  { head: "pool", least: 8 },
  { head: "node", leaves: 3 },
  { head: "until", leaves: 1 },
];

export function addressTable(addresses: readonly AddressView[], terminal: Terminal): string[] {
  if (addresses.length === 0) return ["no addresses"];
  const paint = ({ state }: AddressView): Paint => (state === "used" ? terminal.green : state === "quarantined" ? terminal.red : terminal.yellow);
  const rows = addresses.map((view): Cell[] => {
    const { address, state, owner, containerId, ifname, pool, node, until } = view;
    return [address, { text: state, paint: paint(view) }, owner ?? "-", containerId ?? "-", ifname ?? "-", pool, node, until ?? "-"];
  });
  return table(addressColumns, rows, terminal);
}

const poolColumns: readonly Column[] = [
  { head: "pool", least: 8 },
  { head: "here" },
  { head: "used", align: "right" },
  { head: "kept", align: "right" },
  { head: "cooling", align: "right", leaves: 2 },
  { head: "reserved", align: "right", leaves: 3 },
  { head: "quarantined", align: "right", leaves: 4 },
  { head: "free", align: "right" },
  { head: "backend", leaves: 5 },
  { head: "mtu", align: "right", leaves: 1 },
];

export function poolTable(pools: readonly PoolView[], terminal: Terminal): string[] {
  if (pools.length === 0) return ["no pools"];
  const rows = pools.map((pool): Cell[] => {
    const counts = [pool.used, pool.kept, pool.cooling, pool.reserved, pool.quarantined, pool.free].map(String);
    return [pool.name, pool.nodeCidr ?? "-", ...counts, pool.backend, String(pool.mtu)];
  });
  const alarms = pools.flatMap(({ alarm }) => (alarm === null ? [] : wrap(alarm, terminal.width)));
  return [...table(poolColumns, rows, terminal), ...alarms.map(terminal.yellow)];
}

const auditColumns: readonly Column[] = [
  { head: "at" },
  { head: "event" },
  { head: "address" },
  { head: "owner", least: 8 },
  { head: "node", leaves: 2 },
  { head: "container", leaves: 1 },
  { head: "pool", leaves: 3 },
];

export function auditTable(trail: readonly AuditView[], terminal: Terminal): string[] {
  if (trail.length === 0) return ["nothing happened beside the pods' will"];
  const rows = trail.map(({ at, event, address, owner, node, containerId, pool }): Cell[] => {
    const paint = event === "moved" ? terminal.green : terminal.red;
    return [at, { text: event, paint }, address, owner ?? "-", node ?? "-", containerId ?? "-", pool];
  });
  return table(auditColumns, rows, terminal);
}

export function checkLines({ checked, findings }: AddressCheckView, terminal: Terminal): string[] {
  if (findings.length === 0) return [`${checked} addresses in use, each where it should be`];
  const lines = findings.flatMap(({ kind, text, repaired }) => wrap(`${kind}: ${text}${repaired ? " (mended)" : ""}`, terminal.width));
  return [...lines.map(printable), `${checked} addresses in use, ${findings.length} findings`];
}
