/** The `expect:` section, spelled out: one value per fact that must be seen. Pure. */
import { familyOf, type Family, parseIp } from "#base/ip.ts";
import type { LabExpect } from "#config/lab-schema.ts";

export type Expectation =
  | { readonly kind: "lease"; readonly node: string; readonly pool: string }
  | { readonly kind: "session"; readonly node: string; readonly peer: string }
  | { readonly kind: "route"; readonly on: string; readonly to: string; readonly via: string | undefined; readonly absent: boolean }
  /** `to` is a machine or an address. */
  | { readonly kind: "ping"; readonly from: string; readonly to: string; readonly family: Family }
  | { readonly kind: "kernel"; readonly node: string };

/**
 * Every expectation in the order leases, sessions, routes, kernel, pings: from cause to effect, so that the first one that is
 * missing is the most telling. `families` says of which families a machine has an address; `pods` are the names "pods" stands for.
 */
export function expandExpectations(expect: LabExpect, families: ReadonlyMap<string, ReadonlySet<Family>>, pods: readonly string[]): readonly Expectation[] {
  return [
    ...(expect.leases ?? []).flatMap(({ node, pools }) => pools.map((pool) => ({ kind: "lease", node, pool }) as const)),
    ...(expect.sessions ?? []).flatMap(({ node, peers }) => peers.map((peer) => ({ kind: "session", node, peer }) as const)),
    ...(expect.routes ?? []).map(({ on, to, via, absent }) => ({ kind: "route", on, to, via, absent: absent ?? false }) as const),
    ...(expect.kernel ?? []).map((node) => ({ kind: "kernel", node }) as const),
    ...distinct((expect.pings ?? []).flatMap((ping) => pings(ping, families, pods))),
  ];
}

type Ping = Extract<Expectation, { kind: "ping" }>;
type Pings = NonNullable<LabExpect["pings"]>[number];

function pings(ping: Pings, families: ReadonlyMap<string, ReadonlySet<Family>>, pods: readonly string[]): Ping[] {
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
