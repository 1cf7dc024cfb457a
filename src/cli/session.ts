/** One call of podway: the options that hold for every verb, and how an answer reaches the user. */
import type { Command } from "commander";
import { DaemonClient, type Query } from "./daemon-client.ts";
import { standardOutput, type Terminal } from "./terminal.ts";
import { watch } from "./watch.ts";

/** Where podwayd listens unless it is told otherwise. */
export const defaultSocket = "/run/podway/podwayd.sock";

interface GlobalOptions {
  readonly api?: string;
  readonly json?: boolean;
  readonly color?: boolean;
}

/** What a GET is asked for and how it is shown. `render` gets the body of the daemon's answer (src/api/README.md). */
export interface Showing<T> {
  readonly path: string;
  readonly query?: Query;
  readonly watchSeconds?: number | undefined;
  render(view: T, terminal: Terminal): readonly string[];
}

export class Session {
  readonly client: DaemonClient;
  readonly terminal: Terminal;
  readonly json: boolean;

  /** Reads the global options of `command`; they may stand before or after the verb. */
  constructor(command: Command) {
    const { api, json, color } = command.optsWithGlobals<GlobalOptions>();
    this.client = new DaemonClient(api ?? (process.env["PODWAY_API"] || defaultSocket));
    this.terminal = standardOutput(color !== false);
    this.json = json === true;
  }

  /** Asks, and prints the answer once or, watching, until the user has seen enough. */
  async show<T>(showing: Showing<T>): Promise<void> {
    const frame = async (): Promise<readonly string[]> => {
      const answer = await this.client.get(showing.path, showing.query);
      return this.json ? [prettyJson(answer)] : showing.render(answer as T, this.terminal);
    };
    if (showing.watchSeconds !== undefined) return watch(frame, showing.watchSeconds, this.terminal);
    this.print(await frame());
  }

  print(lines: readonly string[]): void {
    process.stdout.write(`${lines.join("\n")}\n`);
  }
}

/** The API's body, two spaces an indent. What could steer a terminal is escaped as JSON allows; the value is the same. */
export const prettyJson = (value: unknown): string =>
  JSON.stringify(value, null, 2).replace(
    /[\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
