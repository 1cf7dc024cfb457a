/** Writes to an embedded store as fast as it can, and says on standard output what was answered, until somebody kills it. */
import { createMemoryStore } from "#adapters/memory-store.ts";
import type { Instant } from "#base/time.ts";

const directory = process.argv[2]!;
const store = await createMemoryStore({ directory, clock: { now: () => performance.now() as Instant } });
const { id } = await store.grant(3600);
const width = 8;

async function write(lane: number): Promise<void> {
  const key = `lane/${lane}`;
  for (let i = 0; ; i++) {
    const now = await store.get(key);
    const value = Buffer.alloc(200 + (i % 700), `${i},`);
    const { done } = now ? await store.replace(key, value, now.modRevision, id) : await store.create(key, value, id);
    if (!done) throw new Error(`lane ${lane} lost a race with nobody`);
    process.stdout.write(`${lane} ${i} ${value.length}\n`);
  }
}
await Promise.all(Array.from({ length: width }, (_, lane) => write(lane)));
