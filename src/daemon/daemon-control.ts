/** Every question a door may ask, answered from the parts of the daemon as they are now. */
import type { CallerFault, Outcome } from "#base/fault.ts";
import type { Clock } from "#ports/clock.ts";
import type { NodeSettings } from "#base/settings.ts";
import type { SystemTelemetry } from "#adapters/telemetry.ts";
import type { Bfd } from "./bfd-task.ts";
import type { Bgp } from "./bgp-task.ts";
import type { ClusterView, Control, KernelView, LeaseView, StatusView } from "./control.ts";
import type { DocumentKeeper } from "./document.ts";
import type { DrainKeeper } from "./drain-keeper.ts";
import type { NodePart } from "./node-part.ts";
import type { OperatorControl } from "./operator-control.ts";
import type { Monitoring } from "./monitoring-task.ts";
import { viewPeerErrors } from "./peer-errors.ts";
import { whileInService } from "./drained-pods.ts";
import { viewPeers } from "./peer-view.ts";
import { tryPolicies, viewPolicies } from "./policy-control.ts";
import { viewRoutes } from "./route-view.ts";
import { explainWhy } from "./why.ts";

export interface ControlParts {
  readonly version: string;
  readonly telemetry: SystemTelemetry;
  readonly clock: Clock;
  readonly keeper: DocumentKeeper;
  readonly bgp: Bgp;
  readonly bfd: Bfd;
  readonly monitoring: Monitoring;
  readonly operator: OperatorControl;
  readonly drains: DrainKeeper;
  readonly node: NodePart;
  /** The settings that count now; the document may be ahead of them (followable.ts). */
  readonly running: () => NodeSettings;
  /** About the document and the state directory. */
  readonly warnings: () => readonly string[];
}

export function createControl(parts: ControlParts): Control {
  const { bgp, keeper, clock, node, telemetry } = parts,
    began = clock.now();
  const peers = (): ReturnType<Control["peers"]> => viewPeers(bgp.speaker, parts.bfd, clock.now());
  const leases = (): readonly LeaseView[] => node.leases(clock.now());
  const kernel = (): KernelView => node.kernelView();
  return {
    status: () => status(parts, { peers: peers(), leases: leases(), uptimeSeconds: Math.round((clock.now() - began) / 1000) }),
    cluster: () => cluster(parts, leases()),
    peers,
    peerErrors: (peer) => viewPeerErrors(bgp.speaker, peer, clock.now()),
    routes: (query) => viewRoutes(bgp.speaker, query),
    policies: () => viewPolicies(bgp.speaker, parts.running()),
    tryPolicies: (text, file, query) => tryPolicies(bgp.speaker, parts.running(), { text, file }, query),
    leases,
    why: (subject) => explainWhy(subject, { speaker: bgp.speaker, settings: parts.running(), peers: peers(), leases: leases(), kernel: kernel() }),
    kernel,
    document: () => keeper.view(),
    plan: (text, file) => Promise.resolve(planOf(keeper, text, file)),
    apply: (text, file, terms) => keeper.desk.apply(text, file, terms),
    operator: parts.operator,
    metrics: () => Promise.resolve(telemetry.metrics()),
    pods: node.pods && whileInService(node.pods, () => parts.drains.sentence),
    onChange: (listener) => node.onChange(listener),
  };
}

function planOf(keeper: DocumentKeeper, text: string, file: string): ReturnType<Control["plan"]> extends Promise<infer T> ? T : never {
  const plan = keeper.plan(text, file);
  return plan.ok ? { ok: true, value: { changes: plan.value.changes } } : (plan as Outcome<never, CallerFault>);
}

interface Now {
  readonly peers: StatusView["peers"];
  readonly leases: readonly LeaseView[];
  readonly uptimeSeconds: number;
}

function status(parts: ControlParts, { peers, leases, uptimeSeconds }: Now): StatusView {
  const { bgp, keeper, node, version } = parts,
    settings = parts.running(),
    document = keeper.view(),
    listen = bgp.listeners.state;
  const own = leases.filter((lease) => lease.own),
    reasons = missing(parts, peers, own);
  const drained = parts.drains.sentence;
  const warnings = [
    ...(drained === undefined ? [] : [drained]),
    ...parts.warnings(),
    ...bgp.listeners.warnings,
    ...node.warnings(),
    ...(listen.state === "failed" ? [listen.text] : []),
  ];
  const [v4, v6] = bgp.speaker.rib.ribs;
  return {
    node: settings.node,
    cluster: settings.cluster,
    version,
    roles: settings.roles,
    asn: settings.asn,
    routerId: settings.routerId,
    address: settings.address,
    address6: settings.address6 ?? null,
    uptimeSeconds,
    service: parts.drains.state,
    ready: reasons.length === 0,
    reasons,
    store: node.storeView(),
    document: { source: document.source, revision: document.revision, fileDiffers: document.fileDiffers },
    leases: own,
    peers,
    routes: { ipv4: v4.chosen, ipv6: v6.chosen, paths: v4.adjRibIn.live + v6.adjRibIn.live },
    kernel: node.kernelStatus(),
    listen,
    monitoring: parts.monitoring.view(),
    warnings,
  };
}

/** What is missing for ready, one sentence each. */
function missing({ running, bgp, node }: ControlParts, peers: StatusView["peers"], own: readonly LeaseView[]): readonly string[] {
  const reasons: string[] = [],
    settings = running();
  if (bgp.listeners.state.state === "failed") reasons.push(bgp.listeners.state.text);
  for (const lease of own) if (lease.state !== "held" && lease.state !== "doubtful") reasons.push(`pool ${lease.pool}: ${lease.reason}`);
  const internal = peers.filter((peer) => peer.role !== "external" && !peer.dynamic);
  if (settings.kernel.enabled && internal.length > 0 && !internal.some((peer) => peer.state === "Established"))
    reasons.push(`no session to ${internal.map((peer) => peer.name).join(", ")}: ${internal[0]!.reason}`);
  const kernel = node.kernelStatus();
  if (kernel.enabled && kernel.differing > 0) reasons.push(`${kernel.differing} kernel entries differ from what they should be; \`podway kernel\` lists them`);
  if (kernel.enabled && !kernel.inSync) reasons.push("not every source is in sync yet");
  return reasons;
}

function cluster({ keeper, node, drains }: ControlParts, leases: readonly LeaseView[]): ClusterView {
  const alive = node.alive();
  return {
    nodes: Object.entries(keeper.settings.nodes).map(([name, declared]) => ({
      name,
      roles: declared.roles,
      address: declared.address,
      address6: declared.address6 ?? null,
      alive: alive.has(name),
      drained: drains.isDrained(name),
      leases: leases.flatMap((lease) => (lease.node === name && lease.cidr !== null ? [lease.cidr] : [])),
    })),
  };
}
