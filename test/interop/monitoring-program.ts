/** A program of this suite that needs no namespace of its own. */
import { spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";

export interface Spawned {
  stop(): Promise<void>;
}

export function spawnProgram(program: string, args: readonly string[], logFile: string): Spawned {
  const log = openSync(logFile, "a");
  const child = spawn(program, args, { stdio: ["ignore", log, log] });
  closeSync(log);
  const over = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  process.once("exit", () => child.kill("SIGKILL"));
  return {
    async stop() {
      child.kill("SIGKILL");
      await over;
    },
  };
}
