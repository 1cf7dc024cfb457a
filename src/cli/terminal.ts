/** What standard output is: how wide, whether it takes colours, whether a person looks at it. */
import colors from "picocolors";

export type Paint = (text: string) => string;

export interface Terminal {
  /** Columns; Infinity if nothing limits them (a pipe without COLUMNS), so that nothing is cut for a program. */
  readonly width: number;
  /** Lines a screen has; Infinity for a pipe. */
  readonly height: number;
  readonly interactive: boolean;
  readonly bold: Paint;
  readonly dim: Paint;
  readonly red: Paint;
  readonly green: Paint;
  readonly yellow: Paint;
}

/** `color` false: the user said --no-color. NO_COLOR and a dumb terminal say the same; a pipe never gets colours. */
export function standardOutput(color: boolean): Terminal {
  const { stdout, env } = process;
  const painted = color && stdout.isTTY === true && !env["NO_COLOR"] && env["TERM"] !== "dumb";
  const { bold, dim, red, green, yellow } = colors.createColors(painted);
  const columns = stdout.isTTY ? stdout.columns : Number(env["COLUMNS"]);
  return {
    width: Number.isInteger(columns) && columns >= leastWidth ? columns : columns > 0 ? leastWidth : Infinity,
    height: stdout.isTTY ? stdout.rows : Infinity,
    interactive: stdout.isTTY === true,
    bold,
    dim,
    red,
    green,
    yellow,
  };
}

/** Narrower than this nothing is readable anyway. */
const leastWidth = 40;
