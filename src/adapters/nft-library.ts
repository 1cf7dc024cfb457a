/**
 * libnftables (libnftables.h, ABI 1) through koffi. Commands run on a thread of koffi's, so a large ruleset does not stop the event
 * loop; the netlink socket is opened here and stays in this thread's network namespace. A context takes one command at a time.
 */
import koffi from "koffi";
import { FaultError } from "#base/fault.ts";
import { type NftEngine, nftFault } from "./nft-engine.ts";

const library = "libnftables.so.1";
/** NFT_CTX_OUTPUT_JSON. */
const jsonOutput = 1 << 4;

interface Calls {
  readonly create: (flags: number) => Context | null;
  readonly free: (context: Context) => void;
  readonly setOutput: (context: Context, flags: number) => void;
  readonly bufferOutput: (context: Context) => number;
  readonly bufferErrors: (context: Context) => number;
  readonly output: (context: Context) => string | null;
  readonly errors: (context: Context) => string | null;
  readonly run: { async(context: Context, command: string, done: (error: Error | null, result: number) => void): void };
}
declare const brand: unique symbol;
/** struct nft_ctx *. */
type Context = { readonly [brand]: true };

/** Throws if the library cannot be loaded. */
export function openNftLibrary(): NftEngine {
  return new NftLibrary(declare(koffi.load(library)));
}

function declare(from: ReturnType<typeof koffi.load>): Calls {
  const bind = <F>(declaration: string): F => from.func(declaration) as F;
  return {
    create: bind("void *nft_ctx_new(uint32_t)"),
    free: bind("void nft_ctx_free(void *)"),
    setOutput: bind("void nft_ctx_output_set_flags(void *, unsigned int)"),
    bufferOutput: bind("int nft_ctx_buffer_output(void *)"),
    bufferErrors: bind("int nft_ctx_buffer_error(void *)"),
    output: bind("const char *nft_ctx_get_output_buffer(void *)"),
    errors: bind("const char *nft_ctx_get_error_buffer(void *)"),
    run: bind("int nft_run_cmd_from_buffer(void *, const char *)"),
  };
}

class NftLibrary implements NftEngine {
  readonly name = library;
  readonly #calls: Calls;
  #context: Context | undefined;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(calls: Calls) {
    this.#calls = calls;
    const context = calls.create(0);
    if (context === null) throw new Error(`${library} opens no netlink socket`);
    calls.setOutput(context, jsonOutput);
    if (calls.bufferOutput(context) !== 0 || calls.bufferErrors(context) !== 0) throw new Error(`${library} has no memory`);
    this.#context = context;
  }

  run(command: string): Promise<string> {
    const done = this.#turn.then(() => this.#run(command));
    this.#turn = done.catch(() => undefined);
    return done;
  }

  async close(): Promise<void> {
    await this.#turn;
    if (this.#context !== undefined) this.#calls.free(this.#context);
    this.#context = undefined;
  }

  async #run(command: string): Promise<string> {
    const context = this.#context,
      { run, output, errors } = this.#calls;
    if (context === undefined) throw new Error("libnftables was closed");
    const result = await new Promise<number>((resolve, reject) =>
      run.async(context, command, (error, value) => (error ? reject(new FaultError(nftFault(error.message), error)) : resolve(value))),
    );
    const printed = output(context) ?? "",
      said = errors(context) ?? "";
    if (result !== 0) throw new FaultError(nftFault(said));
    return printed;
  }
}
