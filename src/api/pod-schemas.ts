/** JSON Schemas of the views of daemon/pod-control.ts, for openapi.json. */
import type {
  AddressCheckView,
  AddressView,
  AllocationView,
  AttachmentKey,
  AttachmentView,
  AuditView,
  CollectView,
  PoolView,
  WhoView,
} from "#daemon/pod-control.ts";
import { choice, count, flag, list, orNull, reference, said, type Schema, text, view } from "./schema-word.ts";

const key = { containerId: text, ifname: text };
const time = orNull(said("ISO 8601.", text));

const allocation = {
  ...key,
  network: orNull(text),
  addresses: list(
    view<AllocationView["addresses"][number]>({ address: text, length: count, pool: text, cidr: text, gateway: text, subnetGateway: orNull(text) }),
  ),
  routes: list(view<AllocationView["routes"][number]>({ destination: text, gateway: text })),
  dns: view<AllocationView["dns"]>({ nameservers: list(text), domain: orNull(text), search: list(text), options: list(text) }),
  mtu: count,
  mac: orNull(text),
  owner: orNull(text),
  namespace: orNull(text),
};

const Address = view<AddressView>({
  address: text,
  pool: text,
  node: text,
  state: choice("used", "kept", "cooling", "reserved", "quarantined", "elsewhere"),
  containerId: orNull(text),
  ifname: orNull(text),
  network: orNull(text),
  owner: orNull(text),
  namespace: orNull(text),
  mac: orNull(text),
  since: said("ISO 8601.", text),
  until: time,
  labels: { type: "object", additionalProperties: text },
});

const Pool = view<PoolView>({
  name: text,
  cidr: text,
  nodeCidr: orNull(text),
  backend: text,
  mtu: count,
  capacity: count,
  used: count,
  kept: count,
  cooling: count,
  reserved: count,
  quarantined: count,
  free: count,
  alarm: said("One sentence while too much is taken.", orNull(text)),
});

export const podSchemas = {
  Allocation: view<AllocationView>(allocation),
  Attachment: view<AttachmentView>({
    ...allocation,
    mac: text,
    netns: orNull(text),
    hostDevice: text,
    hostMac: text,
    portMappings: list(
      view<AttachmentView["portMappings"][number]>({ hostPort: count, containerPort: count, protocol: choice("tcp", "udp", "sctp"), hostIp: orNull(text) }),
    ),
    containerDevice: said("The container's end, as it is named where it is now.", text),
  }),
  Attachments: list(reference("Attachment")),
  Address,
  Addresses: list(reference("Address")),
  Who: view<WhoView>({ address: text, holder: orNull(reference("Address")), text }),
  Collected: view<CollectView>({ removed: list(view<AttachmentKey>(key)), failures: list(text) }),
  AddressCheck: view<AddressCheckView>({
    checked: count,
    findings: list(
      view<AddressCheckView["findings"][number]>({ kind: choice("leak", "double", "unknown", "missing"), address: orNull(text), text, repaired: flag }),
    ),
  }),
  AddressAudit: list(
    view<AuditView>({
      at: said("ISO 8601.", text),
      event: choice("moved", "forced", "lost"),
      address: text,
      pool: text,
      node: orNull(text),
      owner: orNull(text),
      containerId: orNull(text),
    }),
  ),
  Pools: list(Pool),
  PodsReady: view<{ ready: boolean; reasons: readonly string[] }>({ ready: flag, reasons: list(text) }),
  Removed: { type: "object", properties: { found: flag, released: list(text) }, additionalProperties: false },
} as const satisfies Readonly<Record<string, Schema>>;
