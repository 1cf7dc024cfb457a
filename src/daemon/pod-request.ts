/** What doors ask for, checked and made canonical: strings of a stranger → the allocator's request. */
import { type CallerFault, callerFault, failed, ok, type Outcome } from "#base/fault.ts";
import { type Ip, type Mac, parseIp, parseMac } from "#base/ip.ts";
import type { PodKey, PodRecord, PodRequest } from "#ipam/pod-terms.ts";
import { readRoutes } from "./pod-routes.ts";
import { readBandwidth, readPorts } from "./pod-ports.ts";
import type { AllocateRequest, AttachmentKey, AttachRequest } from "./pod-control.ts";

const requestLimits = { idCharacters: 128, nameCharacters: 253, ownerCharacters: 512, labels: 16, labelCharacters: 256, addresses: 8 } as const;

/** As the CNI specification has them: both become part of names and logs. */
const containerId = /^[A-Za-z0-9][A-Za-z0-9_.-]*$/;
const ifname = /^(?!\.\.?$)[^\s/:]{1,15}$/;

export function readKey(key: AttachmentKey): Outcome<PodKey, CallerFault> {
  if (!containerId.test(key.containerId) || key.containerId.length > requestLimits.idCharacters)
    return bad(`containerId must be letters, digits, "_", "." and "-", at most ${requestLimits.idCharacters} of them`);
  if (!ifname.test(key.ifname)) return bad('ifname must be 1 to 15 characters without spaces, "/" and ":"');
  return ok({ containerId: key.containerId, ifname: key.ifname });
}

/** All but the choice of pools. */
export function readAllocation(request: AllocateRequest): Outcome<Omit<PodRequest, "pools">, CallerFault> {
  const key = readKey(request);
  if (!key.ok) return key;
  const addresses = readAddresses(request.addresses ?? []);
  if (!addresses.ok) return addresses;
  const mac = request.mac === undefined ? undefined : parseMac(request.mac);
  if (request.mac !== undefined && (mac === undefined || isGroup(mac)))
    return bad(`mac ${JSON.stringify(request.mac)} is no MAC address of one machine, such as 02:00:5e:10:00:01`);
  for (const [name, text] of Object.entries({ owner: request.owner, namespace: request.namespace, network: request.network })) {
    if (text !== undefined && !isWord(text, name === "owner" ? requestLimits.ownerCharacters : requestLimits.nameCharacters))
      return bad(`${name} must be a word without spaces and control characters, not too long`);
  }
  const labels = Object.entries(request.labels ?? {});
  if (labels.length > requestLimits.labels || labels.some((pair) => pair.some((text) => text.length > requestLimits.labelCharacters)))
    return bad(`labels are at most ${requestLimits.labels}, of ${requestLimits.labelCharacters} characters each`);
  const takes = (request.takes ?? []).map(readKey);
  for (const other of takes) if (!other.ok) return other;
  const { network, owner, namespace } = request;
  return ok({
    ...key.value,
    addresses: addresses.value,
    ...(network !== undefined && { network }),
    ...(owner !== undefined && { owner }),
    ...(namespace !== undefined && { namespace }),
    ...(mac !== undefined && { mac }),
    ...(request.labels !== undefined && { labels: request.labels }),
    ...(takes.length > 0 && { takes: takes.flatMap((other) => (other.ok ? [other.value] : [])) }),
  });
}

/** What an attachment adds to its addresses' records. */
export function readLink(
  { netns, gateways, routes, portMappings, bandwidth }: AttachRequest,
  mtu: number,
): Outcome<NonNullable<PodRecord["link"]>, CallerFault> {
  const read = readAddresses(gateways ?? []);
  if (!read.ok) return read;
  const asked = readRoutes(routes);
  if (!asked.ok) return asked;
  const ports = readPorts(portMappings),
    rates = readBandwidth(bandwidth);
  if (!ports.ok) return ports;
  if (!rates.ok) return rates;
  return ok({
    netns: netns ?? null,
    mtu,
    ...(read.value.length > 0 && { gateways: read.value }),
    ...(asked.value !== undefined && { routes: asked.value }),
    ...(ports.value.length > 0 && { ports: ports.value }),
    ...((rates.value.ingress ?? rates.value.egress) !== undefined && { bandwidth: rates.value }),
  });
}

/** With or without a length, which says nothing here: a pod's link is its own. */
export function readAddress(text: string): Outcome<Ip, CallerFault> {
  const address = parseIp(text.split("/")[0]!);
  return address === undefined ? bad(`${JSON.stringify(text.slice(0, 60))} is not an IP address; write one such as 10.42.7.9 or fd42::9`) : ok(address);
}

function readAddresses(texts: readonly string[]): Outcome<readonly Ip[], CallerFault> {
  if (texts.length > requestLimits.addresses) return bad(`at most ${requestLimits.addresses} addresses can be asked for at once`);
  const found = new Set<Ip>();
  for (const text of texts) {
    const address = readAddress(text);
    if (!address.ok) return address;
    found.add(address.value);
  }
  return ok([...found]);
}

/** The group bit (IEEE 802): such an address is nobody's own. */
const isGroup = (mac: Mac): boolean => (parseInt(mac.slice(0, 2), 16) & 1) === 1;
const isWord = (text: string, most: number): boolean => text.length > 0 && text.length <= most && /^[^\s\p{Cc}]+$/u.test(text);
const bad = (text: string): { readonly ok: false; readonly fault: CallerFault } => failed(callerFault("ipam.bad-request", text));
