/** A recorded feed (MRT, RFC 6396, possibly compressed) → the UPDATEs in it as one file of whole BGP messages. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";

const bgp4mp = 16;
const bgp4mpExtendedTime = 17;
const messageAs4 = 4;
const updateType = 2;

export type Feed = { readonly file: string; readonly remove: () => void } | { readonly skipped: string };

/** `path` is what PODWAY_FEED says. */
export function recordedFeed(path: string | undefined): Feed {
  if (!path) return { skipped: "skipped: set PODWAY_FEED to an MRT file of BGP4MP messages (a recorded full feed) to have it replayed" };
  if (!existsSync(path)) return { skipped: `skipped: PODWAY_FEED names ${path}, which is not there` };
  const raw = readFileSync(path);
  const messages = bgpMessages(raw).filter((message) => message[18] === updateType && hasIpv4Routes(message));
  if (messages.length === 0) return { skipped: `skipped: ${path} has no UPDATEs with four-octet AS numbers and IPv4 routes` };
  const folder = mkdtempSync(join(tmpdir(), "podway-feed-"));
  writeFileSync(join(folder, "messages"), Buffer.concat(messages));
  return { file: join(folder, "messages"), remove: () => rmSync(folder, { recursive: true, force: true }) };
}

/** Every BGP message of a BGP4MP(_ET) recording with four-octet AS numbers, whole; `raw` may be compressed. */
export function bgpMessages(raw: Buffer): Buffer[] {
  const mrt = raw[0] === 0x1f && raw[1] === 0x8b ? gunzipSync(raw) : raw;
  const out: Buffer[] = [];
  for (let at = 0; at + 12 <= mrt.length;) {
    const type = mrt.readUInt16BE(at + 4),
      subtype = mrt.readUInt16BE(at + 6),
      end = at + 12 + mrt.readUInt32BE(at + 8);
    const body = at + 12 + (type === bgp4mpExtendedTime ? 4 : 0);
    if ((type === bgp4mp || type === bgp4mpExtendedTime) && subtype === messageAs4 && end <= mrt.length) {
      out.push(mrt.subarray(body + 12 + (mrt.readUInt16BE(body + 10) === 1 ? 8 : 32), end));
    }
    at = end;
  }
  return out;
}

/** NLRI or withdrawn routes in the classic fields. */
function hasIpv4Routes(message: Buffer): boolean {
  const withdrawn = message.readUInt16BE(19),
    attributes = message.readUInt16BE(21 + withdrawn);
  return withdrawn > 0 || message.length > 23 + withdrawn + attributes;
}
