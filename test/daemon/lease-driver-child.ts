/** One node's lease driver as a process: arguments are the etcd URL, the node, the state directory, the pool's CIDR and the hold time. Claims and leases go to standard output as JSON lines. */
import { createEtcdStore } from "#adapters/etcd-store.ts";
import { systemClock } from "#adapters/system-clock.ts";
import { createLeaseDriver } from "#daemon/lease-driver.ts";
import { driverSettings } from "./lease-driver-settings.ts";

const [url, node, stateDirectory, cidr, hold] = process.argv.slice(2) as [string, string, string, string, string];
const settings = driverSettings({ url, node, cidr, holdSeconds: Number(hold) });
const say = (line: object): void => void process.stdout.write(`${JSON.stringify(line)}\n`);
const store = createEtcdStore(settings.store as Extract<typeof settings.store, { kind: "etcd" }>, () => Promise.reject(new Error("no secret")));
const driver = createLeaseDriver({
  settings,
  store,
  clock: systemClock,
  telemetry: { note: (note) => say({ note: note.event, text: note.text }), gauge: () => undefined },
  stateDirectory,
  version: "0",
  isHolder: true,
});
driver.onOwn((own) => say({ own: [...own.values()].map(({ pool, state, cidr, reason }) => ({ pool, state, cidr, reason })) }));
driver.onLeases((leases) => say({ leases: [...leases.values()].map(({ node, cidr }) => `${node} ${cidr}`), alive: [...driver.alive()] }));
const stop = new AbortController();
process.once("SIGTERM", () => stop.abort());
await driver.run(stop.signal);
await store.close();
say({ ended: true });
