import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

/**
 * Every `*.test.ts` under test/; the long suites are programs of their own (test/<name>/run.ts) and not seen here. Two files at a
 * time: most of them wait for processes, kernels and stores.
 */
export default defineConfig({
  root: fileURLToPath(new URL("..", import.meta.url)),
  test: { include: ["test/**/*.test.ts"], pool: "forks", maxWorkers: 2, testTimeout: 30_000, hookTimeout: 60_000 },
});
