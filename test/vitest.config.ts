import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

/** Every `*.test.ts` under test/; the long suites are programs of their own (test/<name>/run.ts) and not seen here. */
export default defineConfig({
  root: fileURLToPath(new URL("..", import.meta.url)),
  test: { include: ["test/**/*.test.ts"], pool: "forks", testTimeout: 30_000, hookTimeout: 60_000 },
});
