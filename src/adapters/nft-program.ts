/**
 * The program nft, a child per command: the second way. Commands go through a file, because nft opens /dev/stdin by its name and
 * what Node gives a child there is a socket, which cannot be opened.
 */
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { FaultError } from "#base/fault.ts";
import { type NftEngine, nftFault } from "./nft-engine.ts";

const limits = { answerOctets: 64 << 20, commandMillis: 30_000 } as const;
const execute = promisify(execFile);

/** Rejects if there is no such program. */
export async function openNftProgram(): Promise<NftEngine> {
  await execute("nft", ["--version"]).catch(() => Promise.reject(new Error("there is no program nft")));
  return new NftProgram();
}

class NftProgram implements NftEngine {
  readonly name = "nft";
  #turn: Promise<unknown> = Promise.resolve();

  run(command: string): Promise<string> {
    const done = this.#turn.then(() => this.#run(command));
    this.#turn = done.catch(() => undefined);
    return done;
  }

  async close(): Promise<void> {
    await this.#turn;
  }

  async #run(command: string): Promise<string> {
    let directory: string | undefined;
    try {
      directory = await mkdtemp(join(tmpdir(), "podway-nft-"));
      const file = join(directory, "commands");
      await writeFile(file, command, { mode: 0o600 });
      const options = { maxBuffer: limits.answerOctets, timeout: limits.commandMillis, env: { ...process.env, LC_ALL: "C" } };
      return (await execute("nft", ["-j", "-f", file], options)).stdout;
    } catch (cause) {
      throw new FaultError(nftFault((cause as { stderr?: string }).stderr || String(cause)), cause);
    } finally {
      if (directory !== undefined) await rm(directory, { recursive: true, force: true });
    }
  }
}
