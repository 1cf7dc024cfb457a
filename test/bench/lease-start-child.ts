/** Some nodes' lease drivers in one process, each with its own store connection. Started by lease-start.ts; arguments: etcd's URL, the first node's number, how many. */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createEtcdStore } from "#adapters/etcd-store.ts";
import { systemClock } from "#adapters/system-clock.ts";
import { compileNode } from "#config/compile.ts";
import { parseDocument } from "#config/parse.ts";
import { createLeaseDriver } from "#daemon/lease-driver.ts";

const [url, first, count] = process.argv.slice(2) as [string, string, string];
const numbers = Array.from({ length: Number(count) }, (_, i) => Number(first) + i);
const text = [
  "podway: 1",
  "name: many",
  `store: { etcd: { endpoints: ["${url}"], prefix: /podway/many } }`,
  "reflection: off",
  "pools: [ { name: routed, cidr: 10.0.0.0/10, nodePrefix: 24, backend: bgp } ]",
  "nodes:",
  ...numbers.map((n) => `  n${n}: { address: 192.168.${n >> 8}.${n & 255} }`),
  "",
].join("\n");
const parsed = parseDocument(text, "many.yaml");
if (!parsed.ok) throw new Error(parsed.fault.text);
// A thousand nodes have a thousand disks: theirs are in memory here, so that etcd has the one there is for itself.
const folder = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "podway-many-"));
for (const signal of ["SIGTERM", "disconnect"] as const) process.once(signal, () => process.exit(0));
process.once("exit", () => rmSync(folder, { recursive: true, force: true }));

const drivers = numbers.map((n) => {
  const compiled = compileNode(parsed.value.document, `n${n}`);
  if (!compiled.ok || compiled.value.store.kind !== "etcd") throw new Error("the document is that of many nodes on one etcd");
  const settings = compiled.value,
    stateDirectory = mkdtempSync(join(folder, `n${n}-`));
  const store = createEtcdStore(compiled.value.store, () => Promise.reject(new Error("no secret")));
  const telemetry = { note: () => undefined, gauge: () => undefined };
  return createLeaseDriver({ settings, store, clock: systemClock, telemetry, stateDirectory, version: "0", isHolder: true });
});
let holding = 0;
for (const driver of drivers) {
  let held: string | undefined;
  driver.onOwn((own) => {
    const cidr = own.get("routed")?.cidr;
    if (held === undefined && cidr !== undefined) holding++;
    if (held !== undefined && held !== cidr) process.send!({ moved: `${held} → ${String(cidr)}` });
    held = cidr;
    if (holding === drivers.length) process.send!({ cidrs: drivers.map((each) => each.own().get("routed")!.cidr) });
  });
}
process.once("message", () => {
  for (const driver of drivers) void driver.run(new AbortController().signal);
});
process.send!({ ready: true });
