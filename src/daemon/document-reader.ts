/**
 * A process that reads one topology, answers and ends, so that what reading takes (a tenth of a second and 10 MB of YAML and schema)
 * is not the daemon's for as long as it runs. It reads while the daemon loads the rest of itself.
 *
 * Started by path, this file is that process; imported, it starts one.
 */
import { fork } from "node:child_process";
import { getCompileCacheDir } from "node:module";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import type { CallerFault, Outcome } from "#base/fault.ts";
import { type Reading, readTopology } from "./document-text.ts";

interface Request {
  readonly file: string;
  readonly node: string;
}
type Answer = Outcome<Reading, CallerFault>;

/** As readTopology, in a process of its own. Rejects if that process ends without an answer. */
export function readApart(file: string, node: string): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const cache = getCompileCacheDir();
  const child = fork(fileURLToPath(import.meta.url), {
    serialization: "advanced",
    env: { ...process.env, ...(cache !== undefined && { NODE_COMPILE_CACHE: dirname(cache) }) },
    // What is compiled is shared only by processes with the same flags (deploy/bin/launch.mjs).
    execArgv: [...process.execArgv, "--semi-space-growth-factor=1"],
  });
  child.once("message", (answer) => resolve(answer as Answer));
  child.once("error", reject);
  child.once("exit", (code, signal) => reject(new Error(`the process that reads ${file} ended early (${signal ?? `code ${code}`})`)));
  child.send({ file, node } satisfies Request);
  return promise;
}

if (process.argv[1] === fileURLToPath(import.meta.url) && process.send)
  process.once(
    "message",
    ({ file, node }: Request) => void readTopology(file, node).then((answer) => process.send!(answer, undefined, undefined, () => process.disconnect())),
  );
