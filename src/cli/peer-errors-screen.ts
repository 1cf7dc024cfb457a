/** What a peer sent that was malformed, for a person who has to explain it to the operator of the other side. */
import type { PeerErrorsView } from "#daemon/control.ts";
import { printable, wrap } from "./display-text.ts";
import { duration } from "./duration.ts";
import type { Terminal } from "./terminal.ts";

const whatBecame = { discard: "attribute discarded", withdraw: "routes withdrawn", reset: "session reset" } as const;
const octetsInLine = 32;

/** Counts first, then the messages, the last one on top, each whole. */
export function peerErrorsScreen(view: PeerErrorsView, terminal: Terminal): string[] {
  const { name, address, discarded, withdrawn, reset, configured, messages } = view;
  const became = `${discarded} with an attribute discarded, ${withdrawn} with their routes withdrawn, ${reset} with the session reset`,
    counts = `malformed UPDATEs (RFC 7606): ${became}`;
  const wished = configured === 0 ? [] : wrap(`${configured} UPDATEs treated as \`attributes\` of the document says`, terminal.width);
  const kept = messages.length === 0 ? [] : messages.toReversed().flatMap((one) => ["", ...message(one, terminal)]);
  return [terminal.bold(printable(`${name} (${address})`)), ...wrap(counts, terminal.width), ...wished, ...kept];
}

function message({ agoSeconds, treatment, text, prefixes, prefixCount, octets }: PeerErrorsView["messages"][number], terminal: Terminal): string[] {
  const more = prefixCount > prefixes.length ? ` and ${prefixCount - prefixes.length} more` : "";
  const about = prefixes.length === 0 ? "no prefix in it could be read" : `prefixes ${prefixes.join(" ")}${more}`;
  const lines = octets.match(new RegExp(`.{1,${octetsInLine * 2}}`, "g")) ?? [];
  return [
    ...wrap(`${duration(agoSeconds)} ago, ${whatBecame[treatment]}: ${printable(text)}`, terminal.width),
    ...wrap(about, terminal.width, "  "),
    ...lines.map((line) => terminal.dim(`  ${line}`)),
  ];
}
