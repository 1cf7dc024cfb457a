import { type ChildProcess, spawn } from "node:child_process";
import { copyFileSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type MemoryStore, createMemoryStore } from "#adapters/memory-store.ts";
import type { FaultError } from "#base/fault.ts";
import type { Instant } from "#base/time.ts";
import { octets, text } from "./store-contract.ts";

const root = join(import.meta.dirname, "../..");
let directory: string, now: number;
const clock = { now: () => now as Instant };
const open = (at = directory): Promise<MemoryStore> => createMemoryStore({ clock, directory: at });
const journal = (): string => join(directory, "store.journal");

beforeEach(() => {
  now = 5_000;
  directory = mkdtempSync(join(tmpdir(), "podway-journal-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

describe("the embedded store's journal", () => {
  test("what was answered is there after a reopen: values, revisions, leases", async () => {
    const store = await open();
    const { id } = await store.grant(10);
    await store.create("a", Uint8Array.of(0, 255, 10, 13), id);
    const b = await store.create("b", octets("1"));
    await store.replace("b", octets("2"), b.revision);
    await store.create("c", octets("x"));
    await store.remove("c", b.revision + 2n);
    const before = await store.list("");
    await store.close();

    now = 900_000;
    const again = await open();
    expect(await again.list("")).toEqual(before);
    // A lease begins anew when the store does: the time it was down was not measured.
    expect(await again.keepAlive(id)).toEqual({ ttlSeconds: 10 });
    expect((await again.grant(5)).id).not.toBe(id);
    now += 10_001;
    await again.expire();
    expect((await again.list("")).entries.map(({ key }) => key)).toEqual(["b"]);
    await again.close();
    const third = await open();
    expect((await third.list("")).entries.map(({ key }) => key)).toEqual(["b"]);
    await third.close();
  });

  test("torn at every octet of the last write, it holds all writes before and none of the last", async () => {
    const store = await open();
    await store.create("a", octets("first"));
    await store.create("b", octets("second"));
    const whole = statSync(journal()).size;
    await store.transact(
      [],
      [
        { kind: "put", key: "c", value: octets("torn") },
        { kind: "put", key: "d", value: octets("torn") },
      ],
    );
    await store.close();
    const after = statSync(journal()).size;
    copyFileSync(journal(), `${directory}/copy`);
    for (let size = whole; size < after; size++) {
      copyFileSync(`${directory}/copy`, journal());
      truncateSync(journal(), size);
      const torn = await open();
      expect(
        (await torn.list("")).entries.map(({ key }) => key),
        `torn at ${size}`,
      ).toEqual(["a", "b"]);
      expect((await torn.create("e", octets("goes on"))).done).toBe(true);
      await torn.close();
      const again = await open();
      expect((await again.list("")).entries.map(({ key }) => key)).toEqual(["a", "b", "e"]);
      await again.close();
    }
  });

  test("a last write that holds wrong octets (zeros, as after a power cut) is dropped like a torn one", async () => {
    const store = await open();
    await store.create("a", octets("first"));
    const whole = statSync(journal()).size;
    await store.create("b", octets("second"));
    await store.close();
    const bytes = readFileSync(journal());
    for (let at = whole; at < bytes.length; at++) {
      const bad = Buffer.from(bytes);
      bad[at]! ^= 0x55;
      writeFileSync(journal(), bad);
      const again = await open();
      expect(
        (await again.list("")).entries.map(({ key }) => key),
        `changed at ${at}`,
      ).toEqual(["a"]);
      await again.close();
    }
  });

  test("damage before a good write is refused in one sentence, never half forgotten", async () => {
    const store = await open();
    await store.create("a", octets("first"));
    const middle = statSync(journal()).size - 5;
    await store.create("b", octets("second"));
    await store.close();
    const bytes = readFileSync(journal());
    bytes[middle]! ^= 1;
    writeFileSync(journal(), bytes);
    const fault = (await open().catch((cause: unknown) => cause)) as FaultError;
    expect(fault.fault).toMatchObject({ whose: "caller", code: "store.journal-damaged" });
    expect(fault.message).toMatch(/store\.journal is damaged at octet \d+; restore it, or move it away to start empty$/);
    expect(readFileSync(journal())).toEqual(bytes);
    // The refusal gives the lock back.
    expect(readdirSync(directory)).toEqual(["store.journal"]);
  });

  test("it is written anew when it grows, and stays small", async () => {
    const store = await open();
    let { revision } = await store.create("k", new Uint8Array(30_000));
    for (let i = 0; i < 120; i++) ({ revision } = await store.replace("k", new Uint8Array(30_000), revision));
    expect(statSync(journal()).size).toBeLessThan(2_000_000);
    await store.close();
    const again = await open();
    expect(await again.get("k")).toMatchObject({ modRevision: revision });
    await again.close();
  });

  test("a second daemon is told who holds the store, and gets it when that one has gone", async () => {
    const store = await open();
    const fault = (await open().catch((cause: unknown) => cause)) as FaultError;
    expect(fault.fault).toEqual({
      whose: "caller",
      code: "store.locked",
      text: `the embedded store in ${directory} is in use by process ${process.pid}; stop that daemon, or give this one another --state`,
    });
    await store.close();
    // Left behind by a crash: by a pid that is gone, by one that was given away again, and half written.
    for (const stale of ["999999999 1 x", `${process.pid} 1 an-older-boot`, ""]) {
      writeFileSync(join(directory, "store.lock"), stale);
      const again = await open();
      await again.close();
    }
    expect(readdirSync(directory).sort()).toEqual(["store.journal"]);
  });
});

describe("a daemon with an embedded store that dies", () => {
  const children: ChildProcess[] = [];
  afterEach(() => {
    for (const child of children.splice(0)) child.kill("SIGKILL");
  });
  const start = (...before: string[]): ChildProcess => {
    const command = [...before, process.execPath, join(root, "test/contract/store-journal-child.ts"), directory];
    const child = spawn(command[0]!, command.slice(1), { stdio: ["ignore", "pipe", "pipe"], cwd: root });
    children.push(child);
    return child;
  };

  test("by kill -9, again and again, has lost no write that was answered", async () => {
    const answered = new Map<number, { readonly i: number; readonly size: number }>();
    for (const writes of [1, 50, 333, 1500]) {
      const child = start();
      let left = writes;
      answered.clear();
      for await (const line of createInterface({ input: child.stdout! })) {
        const [lane, i, size] = line.split(" ").map(Number);
        answered.set(lane!, { i: i!, size: size! });
        if (--left === 0) child.kill("SIGKILL");
      }
      const store = await open();
      for (const [lane, { i, size }] of answered) {
        const value = text((await store.get(`lane/${lane}`))!.value)!;
        // The write after the last answer may have made it to the disk too.
        expect([i, i + 1], `lane ${lane}`).toContain(Number(value.split(",")[0]));
        expect(value.length, `lane ${lane}`).toBe(value.startsWith(`${i},`) ? size : 200 + ((i + 1) % 700));
      }
      await store.close();
    }
  });

  test("on a disk that is full says so, and what it answered before is there", async () => {
    // A file size limit stands for the full disk: write(2) fails with EFBIG once SIGXFSZ is ignored.
    const child = start("bash", "-c", `trap "" XFSZ; ulimit -f 200; exec "$0" "$@"`);
    const last = new Map<number, number>();
    let complaint = "";
    child.stderr!.on("data", (chunk: Buffer) => (complaint += chunk.toString()));
    for await (const line of createInterface({ input: child.stdout! })) {
      const [lane, i] = line.split(" ").map(Number);
      last.set(lane!, i!);
    }
    expect(complaint).toMatch(/the embedded store cannot write .*store\.journal: EFBIG.*; free the disk/);
    const store = await open();
    expect(last.size).toBe(8);
    // A smaller write behind the refused one may have fitted, unanswered when the child ended.
    for (const [lane, i] of last) expect([i, i + 1]).toContain(Number(text((await store.get(`lane/${lane}`))!.value)!.split(",")[0]));
    await store.close();
  });
});

test("its directory is made if the state directory is there, and named if not", async () => {
  const store = await open(join(directory, "store"));
  await store.close();
  const nowhere = join(directory, "gone", "store");
  const fault = (await open(nowhere).catch((cause: unknown) => cause)) as FaultError;
  expect(fault.fault).toMatchObject({ whose: "caller", code: "store.state-directory" });
  expect(fault.message).toMatch(new RegExp(`^the embedded store cannot use ${nowhere}: .*; make it writable, or give another --state$`));
});
