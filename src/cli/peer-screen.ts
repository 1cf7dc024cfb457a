/** Peers for a person: a table, and below each peer that is not well the sentence that says why. */
import type { BfdView, PeerView } from "#daemon/control.ts";
import { printable, wrap } from "./display-text.ts";
import { duration } from "./duration.ts";
import { type Cell, type Column, table } from "./table.ts";
import type { Paint, Terminal } from "./terminal.ts";

const columns: readonly Column[] = [
  { head: "peer", least: 8 },
  { head: "address", least: 15, leaves: 1 },
  { head: "as", align: "right" },
  { head: "role", leaves: 2 },
  { head: "state" },
  { head: "for", align: "right" },
  { head: "received", align: "right" },
  { head: "accepted", align: "right", leaves: 3 },
  { head: "sent", align: "right" },
  { head: "flaps", align: "right", leaves: 4 },
];

/** All of `peers`, in the order given. */
export function peerTable(peers: readonly PeerView[], terminal: Terminal, indent = ""): string[] {
  if (peers.length === 0) return [`${indent}no peers`];
  const [head, ...lines] = table(
    columns,
    peers.map((peer) => row(peer, terminal)),
    terminal,
    indent,
  );
  return [head!, ...peers.flatMap((peer, i) => [lines[i]!, ...(isWell(peer) ? [] : why(peer, terminal, indent))])];
}

/** Everything about one peer, a line each. */
export function peerScreen(peer: PeerView, terminal: Terminal): string[] {
  const { messages } = peer;
  const rows: readonly (readonly [string, string])[] = [
    ["address", peer.address],
    ["as", `${peer.asn}, ${peer.role}${peer.dynamic ? ", dynamic" : ""}`],
    ["state", `${peer.state} for ${duration(peer.sinceSeconds)}`],
    ["reason", peer.reason],
    ["families", peer.families.join(", ") || "none agreed"],
    ["hold time", peer.holdSeconds === null ? "none agreed" : `${peer.holdSeconds} s`],
    ["router id", peer.remoteId ?? "unknown"],
    ["prefixes", `${peer.received} received, ${peer.accepted} accepted, ${peer.sent} sent, ${peer.stale} stale`],
    [
      "messages",
      `updates ${messages.updatesIn} in, ${messages.updatesOut} out; notifications ${messages.notificationsIn} in, ${messages.notificationsOut} out`,
    ],
    ["restart", peer.gracefulRestart ? "graceful, both sides" : "not graceful"],
    ["flaps", String(peer.flaps)],
    ...(peer.bfd ? [["bfd", bfdText(peer.bfd)] as const] : []),
  ];
  return [terminal.bold(printable(peer.name)), ...rows.flatMap(([label, text]) => labelled(label, text, terminal))];
}

function bfdText({ state, reason, sinceSeconds, transmitMillis, detectionMillis, multihop }: BfdView): string {
  const every = transmitMillis === null ? "" : `; sends every ${transmitMillis} ms`;
  const missed = detectionMillis === null ? "" : `, down after ${detectionMillis} ms of silence`;
  return `${state} for ${duration(sinceSeconds)}${multihop ? ", multihop" : ""}: ${reason}${every}${missed}`;
}

/** `label  text`, the text wrapped beside the label. */
export function labelled(label: string, text: string, terminal: Terminal): string[] {
  const indent = " ".repeat(11);
  const [first = "", ...more] = wrap(text, terminal.width, indent);
  return [terminal.dim(label.padEnd(11)) + first.trimStart(), ...more];
}

const isWell = (peer: PeerView): boolean => peer.state === "Established";

const why = (peer: PeerView, terminal: Terminal, indent: string): string[] => wrap(peer.reason, terminal.width, `${indent}    `).map(terminal.dim);

function row(peer: PeerView, terminal: Terminal): Cell[] {
  const counts = [peer.received, peer.accepted, peer.sent, peer.flaps].map(String);
  const state = { text: peer.state, paint: paintOf(peer, terminal) };
  return [peer.name, peer.address, String(peer.asn), peer.role, state, duration(peer.sinceSeconds), ...counts];
}

const paintOf = (peer: PeerView, terminal: Terminal): Paint => (isWell(peer) ? terminal.green : peer.state === "Idle" ? terminal.red : terminal.yellow);
