/**
 * What a running daemon can take over of new settings, and what waits for its next start. Who we are towards neighbours and
 * where our claims lie is fixed while we run; if that changes, sessions stay exactly as they are, so that an apply never
 * takes the network down: half of a new identity would.
 */
import type { NodeSettings } from "#base/settings.ts";

const untilRestart = "until podwayd is restarted on this node";

export interface Followable {
  /** What to go on with. */
  readonly settings: NodeSettings;
  /** What waits for the next start, one sentence each. */
  readonly pending: readonly string[];
}

type Fixed = readonly [name: string, read: (settings: NodeSettings) => string];

const identity: readonly Fixed[] = [
  ["asn", ({ asn }) => String(asn)],
  ["routerId", ({ routerId }) => routerId],
  ["clusterId", ({ clusterId, routerId }) => (clusterId === routerId ? "the router id" : clusterId)],
  ["address", ({ address }) => address],
  ["address6", ({ address6 }) => address6 ?? "none"],
];
const others: readonly Fixed[] = [
  ["store", ({ store }) => (store.kind === "etcd" ? `etcd at ${store.endpoints.join(", ")} under ${store.prefix}` : store.kind)],
  ["role node", ({ kernel }) => (kernel.enabled ? "on" : "off")],
  ["nextHopResolution", ({ resolvesNextHops }) => (resolvesNextHops === true ? "kernel" : "off")],
  ["routeProtocol", ({ kernel }) => String(kernel.routeProtocol)],
];

/** `running`: the settings that count now, as an earlier call answered them. */
export function followable(running: NodeSettings, next: NodeSettings): Followable {
  const moved = identity.filter(([, read]) => read(running) !== read(next)),
    rest = others.filter(([, read]) => read(running) !== read(next));
  const { asn, routerId, clusterId, address, address6, listen, peers, ranges, policies, reflection } = running;
  const kernel = { ...next.kernel, enabled: running.kernel.enabled, routeProtocol: running.kernel.routeProtocol };
  const sessions = moved.length > 0 ? { asn, routerId, clusterId, address, address6, listen, peers, ranges, policies, reflection } : {};
  return {
    settings: { ...next, store: running.store, kernel, ...sessions },
    pending: [
      ...(moved.length === 0 ? [] : [`${moved.map((fixed) => differing(fixed, running, next)).join(", ")}; sessions stay as they are ${untilRestart}`]),
      ...rest.map((fixed) => `${differing(fixed, running, next)} ${untilRestart}`),
    ],
  };
}

function differing([name, read]: Fixed, running: NodeSettings, next: NodeSettings): string {
  return `${name} is ${read(next)} in the document and ${read(running)} here`;
}
