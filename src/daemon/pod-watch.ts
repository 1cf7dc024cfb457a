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
  const sum = (field: "used" | "free" | "capacity" | "quarantined" | "kept") => () => pools().reduce((total, pool) => total + pool[field], 0);
  telemetry.gauge("podway_pod_addresses_used", "Pod addresses of this node that containers have.", sum("used"));
  telemetry.gauge("podway_pod_addresses_free", "Pod addresses of this node that can be handed out.", sum("free"));
  telemetry.gauge("podway_pod_addresses_kept", "Pod addresses of this node kept for their owners.", sum("kept"));
  telemetry.gauge("podway_pod_addresses_quarantined", "Pod addresses of this node in quarantine.", sum("quarantined"));
  telemetry.gauge("podway_pod_addresses_capacity", "Pod addresses of this node in all.", sum("capacity"));
  telemetry.gauge("podway_pod_pool_alarms", "Pools of this node above their alarm mark.", () => pools().filter(({ alarm }) => alarm !== null).length);
}
