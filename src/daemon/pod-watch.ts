/** Looking at pods without touching them: how an attachment differs from the kernel, and the figures of the pools. */
import type { PodLinks } from "#adapters/pod-links.ts";
import type { Ip } from "#base/ip.ts";
import type { Telemetry } from "#ports/telemetry.ts";
import type { AttachmentView, PoolView } from "./pod-control.ts";
import { readAddress } from "./pod-request.ts";

/** One sentence for each thing that is not as the attachment has it. `asked`: what the caller believes. */
export async function findDifferences(
  links: PodLinks,
  view: AttachmentView,
  asked: { readonly netns?: string; readonly addresses?: readonly string[] },
): Promise<readonly string[]> {
  const wrong: string[] = [],
    own = view.addresses.map(({ address }) => address);
  if ((await links.seeNode(view.hostDevice)) === undefined) wrong.push(`the node has no device ${view.hostDevice}`);
  for (const text of asked.addresses ?? []) {
    const address = readAddress(text);
    if (!address.ok || !own.includes(address.value)) wrong.push(`${text} is not an address of this attachment, which has ${own.join(" and ")}`);
  }
  const netns = asked.netns ?? view.netns;
  if (netns === null) return wrong;
  const seen = await links.seePod(netns, view.ifname);
  if (seen === undefined) return [...wrong, `the pod's namespace has no device ${view.ifname}`];
  if ("code" in seen) return [...wrong, seen.text];
  if (!seen.up) wrong.push(`${view.ifname} is down`);
  if (seen.mac !== view.mac) wrong.push(`${view.ifname} has the MAC ${seen.mac ?? "none"} instead of ${view.mac}`);
  for (const address of own) if (!seen.addresses.includes(address as Ip)) wrong.push(`${view.ifname} has no address ${address}`);
  return wrong;
}

export function registerPodGauges(telemetry: Telemetry, pools: () => readonly PoolView[]): void {
  const each = (field: "used" | "free" | "capacity" | "quarantined" | "kept" | "cooling" | "reserved") => () =>
    pools().map((pool) => ({ labels: { pool: pool.name }, value: pool[field] }));
  telemetry.gauge("podway_pod_addresses_used", "Pod addresses of this node that containers have.", each("used"));
  telemetry.gauge("podway_pod_addresses_free", "Pod addresses of this node that can be handed out.", each("free"));
  telemetry.gauge("podway_pod_addresses_kept", "Pod addresses of this node kept for their owners.", each("kept"));
  telemetry.gauge("podway_pod_addresses_quarantined", "Pod addresses of this node in quarantine.", each("quarantined"));
  telemetry.gauge("podway_pod_addresses_capacity", "Pod addresses of this node in all.", each("capacity"));
  telemetry.gauge("podway_pod_addresses_cooling", "Pod addresses of this node that were freed a moment ago.", each("cooling"));
  telemetry.gauge("podway_pod_addresses_reserved", "Pod addresses of this node that an operator keeps.", each("reserved"));
  telemetry.gauge("podway_pod_pool_alarm", "1 for a pool of which this node's part is above its alarm mark.", () =>
    pools().map(({ name, alarm }) => ({ labels: { pool: name }, value: alarm === null ? 0 : 1 })),
  );
}
