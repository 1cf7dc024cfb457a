/** One thing of a machine that commonly goes wrong, looked at (`podway doctor`), and what was taken away from it (`podway leave`). */
export interface Check {
  /** Dotted, stable: `forwarding.ipv4`. */
  readonly name: string;
  readonly state: "ok" | "warn" | "fail";
  /** One sentence: what is found and, unless it is well, what to do. */
  readonly text: string;
}

/** Who asks: all of it optional on the command line. */
export interface HostQuestion {
  /** Topology to go by where no daemon answers. */
  readonly topology: string;
  readonly node: string;
  readonly stateDirectory: string;
  /** The document that rules, if a daemon answered. */
  readonly ruling: string | undefined;
}

export interface Departure {
  /** One sentence for each thing that was taken away. */
  readonly done: readonly string[];
  /** One sentence for each that is left, and what to do about it. */
  readonly left: readonly string[];
}

export const good = (name: string, text: string): Check => ({ name, state: "ok", text });
export const doubtful = (name: string, text: string): Check => ({ name, state: "warn", text });
export const bad = (name: string, text: string): Check => ({ name, state: "fail", text });
