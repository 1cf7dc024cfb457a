import { decodeOpen, encodeOpen } from "#wire/bgp/open.ts";
const b = Uint8Array.from(Buffer.from("ffffffffffffffffffffffffffffffff006d0104fc5b005a0a00000350024e410400010001010400020001020005060001000100020600090103400a4078000101800002018041040000fc5b45080001010300020103bf00470e00010100a80e1000020100000e104b03016100","hex"));
const a = decodeOpen(b,19,b.length); console.log(JSON.stringify(a.value));
const e = encodeOpen(a.value); const c = decodeOpen(e,19,e.length); console.log(JSON.stringify(c.value ?? c));
import { SessionWorld, emptyTally } from "./sessions.ts";
const w = new SessionWorld(), t = emptyTally();
for (let r = 0; r < 300; r++) { w.round(5, r, t); if (r % 30 === 29) { gc(); const m = process.memoryUsage(); console.log(r, (m.rss/2**20).toFixed(1), (m.heapUsed/2**20).toFixed(2), (m.heapTotal/2**20).toFixed(1), (m.external/2**20).toFixed(2), (m.arrayBuffers/2**20).toFixed(2)); } }
