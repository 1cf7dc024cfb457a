/** Making, changing and removing a VXLAN device. */
import { type WorldFault, worldFault } from "#base/fault.ts";
import type { LinkRow, RowChange } from "#base/kernel-row.ts";
import { decodeLink, encodeDeleteLink, encodeGetLink, encodeNewVxlan, encodeSetLink, type LinkMessage } from "#wire/rtnetlink-link.ts";
import type { Encode, NetlinkRequests } from "./netlink-requests.ts";
import { deviceMark, faultOf, isOurs, type LinkTable } from "./netlink-rows.ts";
import { writeSysctl } from "./sysctl.ts";

type LinkChange = Extract<RowChange, { table: "link" }>;

const fileExists = 17; // EEXIST

/** Returns the fault, or undefined when the device is as `after` says. */
export async function applyLink(requests: NetlinkRequests, change: LinkChange, links: LinkTable): Promise<WorldFault | undefined> {
  const { before, after } = change,
    there = links.named(change.key);
  if (after === undefined)
    return there === undefined || !isOurs(there) ? undefined : one(requests, change, (into, sequence) => encodeDeleteLink(into, sequence, there.index));
  if (there === undefined) return make(requests, change, after, links);
  if (!isOurs(there)) return adopt(requests, change, after, there);
  if (before !== undefined && before.vni === after.vni && before.local === after.local && before.port === after.port) {
    // To set a MAC, even the one that is there, costs the device its neighbours.
    const mac = there.mac === after.mac ? {} : { mac: after.mac };
    return one(requests, change, (into, sequence) => encodeSetLink(into, sequence, there.index, { ...mac, mtu: after.mtu, up: after.up }));
  }
  // The kernel changes none of these on a device that lives.
  const fault = await one(requests, change, (into, sequence) => encodeDeleteLink(into, sequence, there.index));
  return fault ?? make(requests, change, after, links);
}

/** Made, marked, told to mind its own business, and only then up. */
async function make(requests: NetlinkRequests, change: LinkChange, after: LinkRow, links: LinkTable): Promise<WorldFault | undefined> {
  const [refusal] = await requests.batch([(into, sequence) => encodeNewVxlan(into, sequence, after)]);
  if (refusal !== undefined) {
    const holder = refusal.reason.errno === fileExists ? holderOf(after, links) : undefined;
    if (holder === undefined) return faultOf(change, refusal.reason);
    return worldFault(
      "kernel.foreign",
      `link ${after.name}: device ${holder} has VNI ${after.vni} on UDP port ${after.port}; remove it, or give the pool another vni or port.`,
    );
  }
  const made = await read(requests, after.name);
  if (made === undefined) return worldFault("kernel.no-device", `link ${after.name}: it vanished as soon as it was made.`);
  return finish(requests, change, after, made);
}

/**
 * A device of our name without our mark: ours, if it is the one we would make (the MAC is derived from our node's name), left
 * by a crash between making and marking. Anybody else's is left alone.
 */
async function adopt(requests: NetlinkRequests, change: LinkChange, after: LinkRow, there: LinkMessage): Promise<WorldFault | undefined> {
  if (there.vxlan?.vni === after.vni && there.mac === after.mac) return finish(requests, change, after, there);
  return worldFault("kernel.foreign", `link ${after.name}: a device of that name is there and is not Podway's; remove it with "ip link delete ${after.name}".`);
}

async function finish(requests: NetlinkRequests, change: LinkChange, after: LinkRow, made: LinkMessage): Promise<WorldFault | undefined> {
  const marked = await one(requests, change, (into, sequence) => encodeSetLink(into, sequence, made.index, { alias: deviceMark }));
  if (marked !== undefined) return marked;
  // A VXLAN device needs no address of its own making and heeds no router; without IPv6 the files are not there.
  for (const [name, value] of [
    ["accept_ra", "0"],
    ["addr_gen_mode", "1"],
  ] as const)
    writeSysctl({ path: `net/ipv6/conf/${after.name}/${name}`, value });
  return one(requests, change, (into, sequence) => encodeSetLink(into, sequence, made.index, { mtu: after.mtu, up: after.up }));
}

async function one(requests: NetlinkRequests, change: LinkChange, encode: Encode): Promise<WorldFault | undefined> {
  const [refusal] = await requests.batch([encode]);
  return refusal === undefined ? undefined : faultOf(change, refusal.reason);
}

async function read(requests: NetlinkRequests, name: string): Promise<LinkMessage | undefined> {
  let found: LinkMessage | undefined;
  await requests.batch([(into, sequence) => encodeGetLink(into, sequence, name)], (bytes, message) => {
    const link = decodeLink(bytes, message);
    if (link.ok) found = link.value;
  });
  return found;
}

function holderOf(wanted: LinkRow, links: LinkTable): string | undefined {
  for (const link of links.all()) if (link.vxlan?.vni === wanted.vni && link.vxlan.port === wanted.port) return link.name;
  return undefined;
}
