/** `podway why`: which path and by which step, who was told and who was not and by which rule, what the kernel has, which lease covers it. */
import { callerFault, type CallerFault, failed, ok, type Outcome } from "#base/fault.ts";
import { type Ip, parseIp } from "#base/ip.ts";
import { contains, parsePrefix, type Prefix, prefixParts } from "#base/prefix.ts";
import type { NodeSettings } from "#base/settings.ts";
import { none } from "#bgp/rib/adj-rib-in.ts";
import { candidatesOf, compareBySteps } from "#bgp/rib/explain.ts";
import { unreachable } from "#bgp/rib/next-hops.ts";
import type { LocRib } from "#bgp/rib/loc-rib.ts";
import { localPeer, type Role } from "#bgp/rib/peer-table.ts";
import { whyNotTold } from "#bgp/reflector/reflect.ts";
import type { ToldRoute } from "#bgp/reflector/update-group.ts";
import type { Speaker } from "#bgp/speaker.ts";
import type { KernelView, LeaseView, PeerView, WhyView } from "./control.ts";
import { asPrefix, peerName, viewPath } from "./route-view.ts";

export interface WhyParts {
  readonly speaker: Speaker;
  readonly settings: NodeSettings;
  readonly peers: readonly PeerView[];
  readonly leases: readonly LeaseView[];
  readonly kernel: KernelView;
}

export function explainWhy(subject: string, parts: WhyParts): Outcome<WhyView, CallerFault> {
  const peer = parts.peers.find(({ name, address }) => name === subject || address === parseIp(subject));
  if (peer) return ok(whyPeer(subject, peer, parts));
  const prefix = parsePrefix(asPrefix(subject), true);
  if (!prefix || (!subject.includes("/") && !parseIp(subject)))
    return failed(
      callerFault(
        "api.no-such-subject",
        `${JSON.stringify(subject)} is neither a prefix, nor an address, nor a peer; \`podway peers\` and \`podway routes\` list what there is.`,
      ),
    );
  return ok(whyPrefix(subject, prefix, parts));
}

function whyPeer(subject: string, peer: PeerView, { speaker }: WhyParts): WhyView {
  const since = peer.state === "Established" ? `Established for ${peer.sinceSeconds} s` : `${peer.state} for ${peer.sinceSeconds} s`;
  const counts = `${peer.accepted} ${peer.accepted === 1 ? "route" : "routes"} accepted, ${peer.received - peer.accepted} refused, ${peer.sent} told, ${peer.stale} stale`;
  const bfd = peer.bfd ? ` BFD is ${peer.bfd.state} for ${peer.bfd.sinceSeconds} s: ${peer.bfd.reason}.` : "";
  const text = `${peer.name} (${peer.address}, AS ${peer.asn}, ${peer.role}) is ${since}: ${peer.reason || "nothing went wrong"}. ${wentDown(peer.flaps)}; ${counts}.${bfd}${returns(peer, speaker)}`;
  return { subject, kind: "peer", text, facts: { ...peer } };
}

/** When a peer that passed a prefix limit is let in again. */
function returns({ address, state, sinceSeconds }: PeerView, { neighbours }: Speaker): string {
  const info = neighbours.info().find((one) => one.address === address);
  if (info?.barredUntil === undefined || state === "Established") return "";
  const seconds = Math.ceil((info.barredUntil - info.since) / 1000) - sinceSeconds;
  return seconds > 0 ? ` It is let in again in ${seconds} s.` : "";
}

function wentDown(times: number): string {
  return times === 0 ? "It never went down" : times === 1 ? "It went down once" : `It went down ${times} times`;
}

function whyPrefix(subject: string, asked: Prefix, parts: WhyParts): WhyView {
  const family = asked.includes(":") ? 1 : 0,
    rib = parts.speaker.rib.ribs[family];
  const prefix = longestMatch(rib, asked),
    isAddress = !subject.includes("/");
  const sentences: string[] = [],
    facts: Record<string, unknown> = {};
  if (prefix < 0) sentences.push(`No route covers ${subject}.`);
  else {
    facts["route"] = rib.prefixes.text(prefix);
    sentences.push(...chosen(rib, prefix, parts, facts), ...told(rib, prefix, parts, facts));
  }
  sentences.push(...unresolved(rib, asked, parts.speaker, facts));
  const refused = parts.speaker.rib.refusalsOf(asked).map(({ peer, text }) => ({ peer: peerName(parts.speaker, peer), text }));
  if (refused.length > 0) facts["refused"] = refused;
  for (const { peer, text } of refused.slice(0, 4)) sentences.push(`${asked} as ${peer} announced it was ${text}.`);
  const covering = prefix < 0 ? asked : rib.prefixes.text(prefix);
  sentences.push(kernelSentence(covering, parts.kernel, facts), leaseSentence(asked, parts.leases, facts));
  const origin = parts.speaker.rib.origins.explain(covering);
  if (origin !== undefined) sentences.push(origin);
  facts["origin"] = origin ?? null;
  return { subject, kind: isAddress ? "address" : "prefix", text: sentences.join(" "), facts };
}

/** Paths of the prefix itself that do not count, for nothing leads to their next hops. */
function unresolved(rib: LocRib, asked: Prefix, speaker: Speaker, facts: Record<string, unknown>): string[] {
  const id = rib.prefixes.findText(asked),
    candidates = id < 0 ? [] : candidatesOf(id, rib.adjRibIn, speaker.rib.attributes, speaker.rib.peers);
  const away = candidates.filter(({ nextHopCost }) => nextHopCost === unreachable).map(({ path }) => viewPath(speaker, rib, path));
  if (away.length > 0) facts["unresolved"] = away;
  return away
    .slice(0, 4)
    .map(({ peer, nextHop }) => `The path from ${peer} does not count: the kernel has no route to its next hop ${nextHop} (RFC 4271 §9.1.2).`);
}

/** The most specific route that covers the prefix. */
function longestMatch(rib: LocRib, asked: Prefix): number {
  const { bytes, length } = prefixParts(asked);
  for (let bits = length; bits >= 0; bits--) {
    const id = rib.prefixes.find(bytes, 0, bits);
    if (id >= 0 && rib.bestOf(id) !== none) return id;
  }
  return -1;
}

function chosen(rib: LocRib, prefix: number, { speaker }: WhyParts, facts: Record<string, unknown>): string[] {
  const candidates = candidatesOf(prefix, rib.adjRibIn, speaker.rib.attributes, speaker.rib.peers);
  const best = candidates.find(({ path }) => path === rib.bestOf(prefix))!,
    route = viewPath(speaker, rib, best.path);
  facts["best"] = route;
  const origin = best.peer === localPeer ? "originated here" : `from ${route.peer}, next hop ${route.nextHop}`;
  const sentences = [`${route.prefix}: the best path is ${origin}${route.stale ? ", stale (its peer is restarting)" : ""}.`];
  const reasons = candidates
    .filter((other) => other !== best && other.nextHopCost !== unreachable)
    .map((other) => {
      const { step } = compareBySteps(best, other, speaker.rib.peers);
      const hasPathIds = speaker.rib.peers.givesPathIds[other.peer * 2 + rib.family] === 1;
      return { over: `${peerName(speaker, other.peer)}${hasPathIds ? ` #${other.pathId}` : ""}`, step: step.name, source: step.source };
    });
  facts["decision"] = reasons;
  if (reasons.length === 0) sentences.push("It is the only one.");
  for (const { over, step, source } of reasons.slice(0, 4)) sentences.push(`It wins over the path from ${over} by ${step} (${source}).`);
  return sentences;
}

function told(rib: LocRib, prefix: number, { speaker }: WhyParts, facts: Record<string, unknown>): string[] {
  const best = rib.bestOf(prefix),
    source = rib.adjRibIn.peer[best]!,
    from = speaker.rib.peers.role[source]! as Role;
  const flags = speaker.rib.attributes.flags[rib.adjRibIn.attributes[best]!]!;
  const yes: string[] = [],
    no: { peer: string; reason: string }[] = [];
  for (const info of speaker.neighbours.info()) {
    const group = speaker.rib.groups.of(info.id, rib.family),
      routes = group?.toldOf(prefix).filter((route) => route.source !== info.id) ?? [];
    if (info.state === "Established" && routes.length > 0) yes.push(info.name + pathsOf(routes));
    else if (info.id === source) no.push({ peer: info.name, reason: "it is where the route came from (RFC 4456 §6)" });
    else if (info.state !== "Established") no.push({ peer: info.name, reason: `its session is ${info.state}` });
    else if (!group) no.push({ peer: info.name, reason: "the family was not negotiated" });
    else
      no.push({
        peer: info.name,
        reason:
          whyNotTold(group.role, from, flags) ??
          group.refusalOf(rib.adjRibIn.attributes[best]!) ??
          speaker.rib.explainExport(info.id, rib.family, prefix) ??
          "it is about to be told",
      });
  }
  facts["told"] = yes;
  facts["notTold"] = no;
  const sentences = [yes.length === 0 ? "Nobody was told." : `Told to ${listOf(yes)}.`];
  for (const { peer, reason } of no.slice(0, 6)) sentences.push(`Not told to ${peer}: ${reason}.`);
  return sentences;
}

/** The identifiers of what a peer that takes several paths was told. */
function pathsOf(routes: readonly ToldRoute[]): string {
  const ids = routes.flatMap(({ pathId }) => (pathId === undefined ? [] : [`#${pathId}`]));
  if (ids.length === 0) return "";
  return ` (${ids.length === 1 ? "path" : `${ids.length} paths`} ${ids.slice(0, 4).join(" ")}${ids.length > 4 ? " …" : ""}, RFC 7911)`;
}

function kernelSentence(prefix: Prefix, kernel: KernelView, facts: Record<string, unknown>): string {
  const route = kernel.tables.find(({ name }) => name === "route")?.entries.find(({ key }) => key.split(" ")[0] === prefix);
  facts["kernel"] = route ?? null;
  if (!route) return "The kernel has no route of ours for it.";
  if (route.failure) return `The kernel refused its route: ${route.failure}.`;
  if (route.actual === route.desired) return `The kernel has it: ${route.actual}.`;
  return `The kernel has ${route.actual ?? "nothing"} and should have ${route.desired ?? "nothing"}.`;
}

function leaseSentence(prefix: Prefix, leases: readonly LeaseView[], facts: Record<string, unknown>): string {
  const lease = leases.find(({ cidr }) => cidr !== null && contains(cidr as Prefix, prefix as Prefix & Ip));
  facts["lease"] = lease ?? null;
  return lease ? `It lies in ${lease.cidr}, which ${lease.node} leases from pool ${lease.pool} (${lease.state}).` : "No lease covers it.";
}

function listOf(names: readonly string[]): string {
  const shown = names.slice(0, 8);
  return names.length > shown.length ? `${shown.join(", ")} and ${names.length - shown.length} more` : shown.join(", ");
}
