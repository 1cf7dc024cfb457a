/** This node on one screen: who it is, whether it is ready and if not why, and what it holds. */
import type { PeerView, StatusView } from "#daemon/control.ts";
import { printable, wrap } from "./display-text.ts";
import { duration } from "./duration.ts";
import { leaseTable } from "./lease-screen.ts";
import { labelled, peerTable } from "./peer-screen.ts";
import type { Terminal } from "./terminal.ts";

/** A reflector may have thousands of peers; those that are not well come first. */
const peersShown = 20;

export function statusScreen(status: StatusView, terminal: Terminal): string[] {
  return [
    ...head(status, terminal),
    "",
    ...facts(status).flatMap(([label, text]) => labelled(label, text, terminal)),
    ...section("leases", status.leases.length === 0 ? [] : leaseTable(status.leases, terminal, "  "), terminal),
    ...section("peers", peers(status.peers, terminal), terminal),
    ...section("warnings", sentences(status.warnings, terminal), terminal),
  ];
}

function head(status: StatusView, terminal: Terminal): string[] {
  const { node, cluster, roles, asn, routerId, version, uptimeSeconds } = status;
  const rest = [`of ${printable(cluster)}`, roles.join(" and "), `AS ${asn}`, `router id ${routerId}`, `podway ${version}`, `up ${duration(uptimeSeconds)}`];
  const [first = "", ...more] = wrap(`${printable(node)} ${rest.join(", ")}`, terminal.width);
  const name = first.slice(0, printable(node).length);
  const ready = status.ready ? terminal.green("ready") : terminal.red("not ready");
  return [terminal.bold(name) + first.slice(name.length), ...more, ready, ...sentences(status.reasons, terminal)];
}

function facts(status: StatusView): readonly (readonly [string, string])[] {
  const { store, document, listen, routes, address, address6 } = status;
  const revision = (text: string | null): string => (text === null ? "" : `, revision ${text}`);
  const differs = document.fileDiffers ? "; the file differs from it (podway plan FILE shows how)" : "";
  return [
    ["address", address6 === null ? address : `${address}, ${address6}`],
    ["store", store.kind === "none" ? store.text || "none: the file rules" : `${store.state}, ${store.text || store.kind}${revision(store.revision)}`],
    ["document", `from the ${document.source}${revision(document.revision)}${differs}`],
    ["listen", listen.text === "" ? listen.state : `${listen.state}: ${listen.text}`],
    ["routes", `${routes.ipv4} IPv4, ${routes.ipv6} IPv6, out of ${routes.paths} paths`],
    ["kernel", kernelFact(status.kernel)],
    ...monitoringFacts(status.monitoring),
  ];
}

function monitoringFacts({ bmp, mrt }: StatusView["monitoring"]): readonly (readonly [string, string])[] {
  return [
    ...bmp.map(({ name, address, port, reason, messages }): [string, string] => {
      return ["bmp", `${name} at ${address} port ${port}: ${reason === null ? `connected, ${messages} messages` : printable(reason)}`];
    }),
    ...mrt.map(({ name, directory, lastDump, lost, fault }): [string, string] => {
      const told = fault === null ? `last dump ${lastDump ?? "none yet"}` : printable(fault);
      return ["mrt", `${name} in ${printable(directory)}: ${told}${lost === 0 ? "" : `, ${lost} messages left out`}`];
    }),
  ];
}

function kernelFact({ enabled, inSync, desired, differing, lastPassMillis, drift }: StatusView["kernel"]): string {
  if (!enabled) return "left alone: this node programs nothing";
  const state = inSync ? `in sync, ${desired} entries` : `${differing} of ${desired} entries differ (podway kernel says which)`;
  const pass = lastPassMillis === null ? "no pass yet" : `last pass took ${lastPassMillis} ms`;
  return `${state}; ${pass}; ${drift === 0 ? "no drift" : `${drift} put right after drift`}`;
}

function peers(all: readonly PeerView[], terminal: Terminal): string[] {
  if (all.length === 0) return [];
  const unwell = all.filter((peer) => peer.state !== "Established");
  const shown = all.length <= peersShown ? all : [...unwell, ...all.filter((peer) => peer.state === "Established")].slice(0, peersShown);
  const more = all.length - shown.length;
  const foot = more > 0 ? [`  and ${more} more, ${all.length - unwell.length} of all ${all.length} established: podway peers lists them`] : [];
  return [...peerTable(shown, terminal, "  "), ...foot];
}

function section(title: string, lines: readonly string[], terminal: Terminal): string[] {
  return lines.length === 0 ? [] : ["", terminal.bold(title), ...lines];
}

const sentences = (texts: readonly string[], terminal: Terminal): string[] =>
  texts.flatMap((text) => wrap(text, terminal.width, "    ").map((line, i) => (i === 0 ? `  - ${line.trimStart()}` : line)));
