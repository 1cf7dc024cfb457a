/** Leases for a person: who holds which CIDR, for how long, and the reason where one is not held. */
import type { ClusterView, LeaseView } from "#daemon/control.ts";
import { wrap } from "./display-text.ts";
import { duration } from "./duration.ts";
import { type Cell, type Column, table } from "./table.ts";
import type { Paint, Terminal } from "./terminal.ts";

const columns: readonly Column[] = [
  { head: "pool", least: 8 },
  { head: "cidr" },
  { head: "node", least: 8 },
  { head: "state" },
  { head: "lapses in", align: "right" },
  { head: "backend", leaves: 1 },
  { head: "address", leaves: 2 },
  { head: "vtep mac", leaves: 3 },
];

export function leaseTable(leases: readonly LeaseView[], terminal: Terminal, indent = ""): string[] {
  if (leases.length === 0) return [`${indent}no leases`];
  const [head, ...lines] = table(
    columns,
    leases.map((lease) => row(lease, terminal)),
    terminal,
    indent,
  );
  const why = (lease: LeaseView): string[] => wrap(lease.reason, terminal.width, `${indent}    `).map(terminal.dim);
  return [head!, ...leases.flatMap((lease, i) => [lines[i]!, ...why(lease)])];
}

function row(lease: LeaseView, terminal: Terminal): Cell[] {
  const lapses = lease.expiresSeconds === null ? "-" : duration(lease.expiresSeconds);
  const state = { text: lease.state, paint: paints[lease.state](terminal) };
  return [lease.pool, lease.cidr ?? "-", lease.own ? `${lease.node} (this)` : lease.node, state, lapses, lease.backend, lease.address, lease.vtepMac ?? "-"];
}

const paints: Readonly<Record<LeaseView["state"], (terminal: Terminal) => Paint>> = {
  held: ({ green }) => green,
  reserved: ({ green }) => green,
  wanted: ({ yellow }) => yellow,
  asking: ({ yellow }) => yellow,
  doubtful: ({ yellow }) => yellow,
  lost: ({ red }) => red,
};

const nodeColumns: readonly Column[] = [
  { head: "node", least: 8 },
  { head: "roles" },
  { head: "address" },
  { head: "address6", leaves: 2 },
  { head: "presence" },
  { head: "leases", least: 12 },
];

export function clusterTable({ nodes }: ClusterView, terminal: Terminal): string[] {
  const rows = nodes.map((node): Cell[] => {
    const presence = node.alive ? { text: "alive", paint: terminal.green } : { text: "away", paint: terminal.red };
    return [node.name, node.roles.join(", "), node.address, node.address6 ?? "-", presence, node.leases.join(", ") || "-"];
  });
  const away = nodes.filter((node) => !node.alive).length;
  return [...table(nodeColumns, rows, terminal), "", `${nodes.length} nodes, ${away === 0 ? "all alive" : `${away} away`}`];
}
