/** A pod's link made: the veth, the node's route to it, the ports that lead to it. Each is awaited, since what is told must hold. */
import type { PodLinks } from "#adapters/pod-links.ts";
import { type Fault, worldFault } from "#base/fault.ts";
import type { PodRecord } from "#ipam/pod-terms.ts";
import { planAttachment } from "#overlay/attach.ts";
import type { AttachmentView } from "./pod-control.ts";
import type { PodPorts } from "./pod-ports.ts";
import type { PodRouting } from "./pod-routing.ts";
import { linkOf } from "./pod-view.ts";

const settleMillis = 5_000;

export interface LinkingParts {
  readonly links: PodLinks;
  readonly routing: PodRouting;
  readonly ports: PodPorts;
}

/** `wantRoutes` tells of the routes of `records`. On a fault the caller removes the link and what is wanted for it. */
export async function makePodLink(
  { links, routing, ports }: LinkingParts,
  view: AttachmentView,
  records: readonly PodRecord[],
  wantRoutes: () => void,
): Promise<Fault | undefined> {
  const link = linkOf(view, records[0]!.link?.bandwidth);
  const fault = await links.make(link, view.netns ?? undefined, planAttachment(link, view.netns !== null));
  if (fault !== undefined) return fault;
  wantRoutes();
  for (const { address } of records) {
    const isThere = (await routing.settled(address, settleMillis)) && (await links.leads(address, link.hostDevice, settleMillis));
    if (!isThere) return worldFault("attach.failed", `the route to ${address} is not in the kernel after ${settleMillis / 1000} s; podway kernel says why`);
  }
  return ports.publish(view, records);
}
