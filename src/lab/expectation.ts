/** The `expect:` section, spelled out: one value per fact that must be seen. Pure. */
import { familyOf, type Family, parseIp } from "#base/ip.ts";
import type { LabExpect } from "#config/lab-schema.ts";

export type Expectation =
  | { readonly kind: "lease"; readonly node: string; readonly pool: string }
  | { readonly kind: "session"; readonly node: string; readonly peer: string }
  | { readonly kind: "route"; readonly on: string; readonly to: string; readonly via: string | undefined; readonly absent: boolean }
  /** `to` is a machine or an address. */
  | { readonly kind: "ping"; readonly from: string; readonly to: string; readonly family: Family }
  /** Routes with protocol number `protocol`, and FDB and neighbours of the daemon's devices. */
  | { readonly kind: "kernel"; readonly node: string; readonly protocol: number };

/** What the document says of machines, as far as expectations refer to it. */
export interface ExpectationContext {
  /** The families a machine has an address of. */
  readonly families: ReadonlyMap<string, ReadonlySet<Family>>;
  /** What "pods" stands for. */
  readonly pods: readonly string[];
  readonly routeProtocol: number;
}

/**
 * Every expectation in the order leases, sessions, routes, kernel, pings: from cause to effect, so that the first one that is
 * missing is the most telling.
 */
export function expandExpectations(expect: LabExpect, context: ExpectationContext): readonly Expectation[] {
  return [
    ...(expect.leases ?? []).flatMap(({ node, pools }) => pools.map((pool) => ({ kind: "lease", node, pool }) as const)),
    ...(expect.sessions ?? []).flatMap(({ node, peers }) => peers.map((peer) => ({ kind: "session", node, peer }) as const)),
    ...(expect.routes ?? []).map(({ on, to, via, absent }) => ({ kind: "route", on, to, via, absent: absent ?? false }) as const),
    ...(expect.kernel ?? []).map((node) => ({ kind: "kernel", node, protocol: context.routeProtocol }) as const),
    ...distinct((expect.pings ?? []).flatMap((ping) => pings(ping, context))),
  ];
}

type Ping = Extract<Expectation, { kind: "ping" }>;
type Pings = NonNullable<LabExpect["pings"]>[number];

function pings(ping: Pings, { families, pods }: ExpectationContext): Ping[] {
  const named = (side: readonly string[]): string[] => side.flatMap((name) => (name === "pods" ? pods : [name]));
  const has = (name: string, family: Family): boolean => (parseIp(name) === undefined ? families.get(name)?.has(family) === true : familyOf(name) === family);
  const wanted = ([4, 6] as const).filter((family) => ping.family === undefined || ping.family === `ipv${family}`);
  return named(ping.from).flatMap((from) =>
    named(ping.to).flatMap((to) =>
      from === to ? [] : wanted.filter((family) => has(from, family) && has(to, family)).map((family) => ({ kind: "ping", from, to, family }) as const),
    ),
  );
}

function distinct(all: readonly Ping[]): Ping[] {
  return [...new Map(all.map((ping) => [`${ping.from} ${ping.to} ${ping.family}`, ping])).values()];
}

/** One clause that says what must be seen. */
export function describeExpectation(expectation: Expectation): string {
  switch (expectation.kind) {
    case "lease":
      return `${expectation.node} holds a CIDR of pool ${expectation.pool}`;
    case "session":
      return `${expectation.node}'s session with ${expectation.peer} is Established`;
    case "route": {
      const via = expectation.via === undefined ? "" : ` via ${expectation.via}`;
      return `${expectation.on} has ${expectation.absent ? "no" : "a"} route to ${expectation.to}${via}`;
    }
    case "ping":
      return `${expectation.from} pings ${expectation.to} over IPv${expectation.family}`;
    case "kernel":
      return `${expectation.node}'s kernel tables are what its daemon says`;
  }
}
