import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createMemoryStore } from "#adapters/memory-store.ts";
import type { Instant } from "#base/time.ts";
import { type StoreHarness, storeContract } from "./store-contract.ts";

async function open(directory?: string): Promise<StoreHarness> {
  let now = 1_000_000;
  const store = await createMemoryStore({ clock: { now: () => now as Instant }, ...(directory !== undefined && { directory }) });
  return {
    store,
    other: store,
    compact: async () => store.compact(),
    elapse: async (seconds) => {
      now += seconds * 1000;
      await store.expire();
    },
    close: async () => {
      await store.close();
      if (directory !== undefined) rmSync(directory, { recursive: true });
    },
  };
}

storeContract("embedded, without a journal", () => open());
storeContract("embedded, with a journal", () => open(mkdtempSync(join(tmpdir(), "podway-journal-"))));
