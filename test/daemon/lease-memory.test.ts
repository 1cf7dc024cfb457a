import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { afterEach, expect, test } from "vitest";
import { createMemoryStore } from "#adapters/memory-store.ts";
import { systemClock } from "#adapters/system-clock.ts";
import type { Note } from "#base/note.ts";
import { createLeaseDriver, type LeaseDriver } from "#daemon/lease-driver.ts";
import type { Store } from "#ports/store.ts";
import { driverSettings } from "./lease-driver-settings.ts";

const directories: string[] = [];
afterEach(() => {
  for (const each of directories.splice(0)) rmSync(each, { recursive: true, force: true });
});
function directory(): string {
  const made = mkdtempSync(join(tmpdir(), "podway-memory-"));
  directories.push(made);
  return made;
}

interface Running {
  readonly driver: LeaseDriver;
  readonly notes: Note[];
  end(): Promise<void>;
}
function start(store: Store, stateDirectory: string): Running {
  const notes: Note[] = [],
    stop = new AbortController();
  const driver = createLeaseDriver({
    settings: driverSettings({ node: "n1", cidr: "10.42.0.0/16", holdSeconds: 600 }),
    store,
    clock: systemClock,
    telemetry: { note: (said) => void notes.push(said), gauge: () => undefined },
    stateDirectory,
    version: "0",
    isHolder: true,
  });
  const run = driver.run(stop.signal);
  return { driver, notes, end: () => (stop.abort(), run) };
}
async function until(fact: () => boolean, millis = 5_000): Promise<void> {
  for (const end = performance.now() + millis; !fact(); await wait(5)) if (performance.now() > end) throw new Error(`not within ${millis} ms: ${String(fact)}`);
}
const held = ({ driver }: Running): string | undefined => driver.own().get("p")?.cidr;
const saved = (path: string): string => {
  try {
    return readFileSync(join(path, "leases.json"), "utf8");
  } catch {
    return "";
  }
};
const silence = (): AsyncIterable<never> => ({ [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => undefined) }) });
const never: Store = new Proxy({} as Store, { get: (_, name) => (name === "watch" ? silence : () => new Promise(() => undefined)) });

test("a claim is on the disk at once: who dies right after it starts with it, though the store is away", async () => {
  const store = await createMemoryStore({ clock: systemClock }),
    path = directory(),
    first = start(store, path);
  await until(() => held(first) !== undefined);
  const since = performance.now();
  await until(() => saved(path).includes(held(first)!), 250);
  expect(performance.now() - since).toBeLessThan(250);
  // Nothing of its end is written: the second one finds what the first one left when it was killed.
  const left = directory(),
    cidr = held(first);
  cpSync(path, left, { recursive: true });
  const second = start(never, left);
  await until(() => held(second) !== undefined);
  expect([held(second), second.driver.own().get("p")?.state]).toEqual([cidr, "doubtful"]);
  await first.end();
  await store.close();
});

test("a state directory that cannot be written is told once and stands in the warnings, leases go on, and it mends itself", async () => {
  const store = await createMemoryStore({ clock: systemClock }),
    path = directory();
  mkdirSync(join(path, "leases.json")); // nothing can take this name
  const running = start(store, path);
  await until(() => held(running) !== undefined && running.driver.warnings().length > 0);
  expect(running.driver.warnings()[0]).toMatch(
    /^the leases this node knows cannot be written to .* \(EISDIR\): if it starts while the store is away it has none; make room there$/,
  );
  await store.create("leases/p/10.42.200.0-24", new Uint8Array());
  rmdirSync(join(path, "leases.json"));
  await until(() => running.driver.warnings().length === 0, 10_000);
  expect(saved(path)).toContain(held(running));
  expect(running.notes.map(({ event }) => event).filter((event) => event.startsWith("lease.") && event.endsWith("written"))).toEqual([
    "lease.not-written",
    "lease.written",
  ]);
  await running.end();
  await store.close();
});
