/** Routes for a person. */
import type { RouteView } from "#daemon/control.ts";
import { wrap } from "./display-text.ts";
import { type Cell, type Column, table } from "./table.ts";
import type { Terminal } from "./terminal.ts";

export interface RoutesAnswer {
  readonly total: number;
  readonly routes: readonly RouteView[];
}

const columns: readonly Column[] = [
  { head: "" },
  { head: "prefix" },
  { head: "next hop", least: 12 },
  { head: "peer", least: 8 },
  { head: "pref", align: "right" },
  { head: "med", align: "right", leaves: 2 },
  { head: "origin", leaves: 3 },
  { head: "as path", least: 8 },
  { head: "communities", least: 11, leaves: 4 },
  { head: "originator", leaves: 5 },
];

export function routeTable({ total, routes }: RoutesAnswer, terminal: Terminal): string[] {
  if (total === 0) return ["no routes"];
  const few = `${routes.length} of ${total} routes; --limit N shows more, a PREFIX, --family or --received fewer`;
  const foot = routes.length < total ? few : `${total} ${total === 1 ? "route" : "routes"}`;
  const legend = [routes.some((route) => route.best) ? "* best" : "", routes.some((route) => route.stale) ? "s stale" : ""].filter((part) => part !== "");
  return [
    ...table(
      columns,
      routes.map((route) => row(route, terminal)),
      terminal,
    ),
    "",
    ...wrap([foot, ...legend].join("; "), terminal.width),
  ];
}

function row(route: RouteView, terminal: Terminal): Cell[] {
  const mark = { text: `${route.best ? "*" : " "}${route.stale ? "s" : ""}`, paint: route.stale ? terminal.yellow : terminal.green };
  const communities = [...route.communities, ...route.largeCommunities].join(" ");
  const ranks = [String(route.localPref ?? "-"), String(route.med ?? "-"), route.origin];
  const from = route.pathId === null ? route.peer : `${route.peer} #${route.pathId}`;
  return [mark, route.prefix, route.nextHop, from, ...ranks, route.asPath || "-", communities || "-", route.originatorId ?? "-"];
}
