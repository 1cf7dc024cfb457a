/** Captures of foreign sessions as lines: every message of every stream, read as its session had agreed. */
import { frame, headerFault } from "#wire/bgp/message.ts";
import { decodeOpen } from "#wire/bgp/open.ts";
import { type Stream, tcpStreams } from "./capture.ts";
import { type Agreed, toldMessage } from "./told-message.ts";

/** What a capture without OPENs was taken from; the octets alone do not say. */
const known: Readonly<Record<string, Partial<Agreed>>> = {
  "bgp-addpath.pcap": { fourOctetAs: false, addPath: true, internal: false },
  "bgp-large-community.pcap": { internal: false },
  "bgp-role.pcapng": { internal: false },
  "bgp-rt-prefix.pcap": { fourOctetAs: false, internal: false },
  "mpbgp-linklocal-nexthop.pcap": { fourOctetAs: false, internal: false },
};

export function toldCapture(file: Uint8Array, name: string): string[] {
  const streams = tcpStreams(file);
  return streams.flatMap((stream) => {
    const [from, to] = stream.name.split(" > "),
      back = streams.find((other) => other.name === `${to} > ${from}`);
    return messagesOf(stream).map((one) => (typeof one === "string" ? one : toldMessage(one, { ...agreedOf(stream, back), ...known[name] })));
  });
}

function messagesOf({ bytes }: Stream): (Uint8Array | string)[] {
  const out: (Uint8Array | string)[] = [];
  for (let at = 0; at < bytes.length;) {
    const size = frame(bytes, at, bytes.length, 65_535);
    if (size <= 0) {
      const { code, subcode, text } =
        size < 0 ? headerFault(bytes, at, size) : { code: 0, subcode: 0, text: `${bytes.length - at} octets of a longer message` };
      return [...out, `reset ${code}/${subcode}: ${text}`];
    }
    out.push(bytes.slice(at, at + size));
    at += size;
  }
  return out;
}

/** Four octets if both said so, or as far as is known; iBGP if both are of one AS. */
function agreedOf(stream: Stream, back: Stream | undefined): Agreed {
  const opens = [stream, back].flatMap((one) => {
    const first = one && messagesOf(one)[0];
    if (!(first instanceof Uint8Array) || first[18] !== 1) return [];
    const open = decodeOpen(first, 19, first.length);
    return open.ok ? [open.value] : [];
  });
  const internal = opens.length < 2 || opens[0]!.asn === opens[1]!.asn;
  return { fourOctetAs: opens.every(({ capabilities }) => capabilities.fourOctetAs !== undefined), addPath: false, internal };
}
