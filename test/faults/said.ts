/** What the daemons said while a fault went wrong: the lines of their logs, merged by time, with seconds since its beginning. */
import { readFileSync } from "node:fs";
import { daemons, type FaultLab } from "./lab.ts";

/** Of more than this the middle is left out. */
const most = 120;

export function saidSince(lab: FaultLab, { began }: { readonly began: number }): string[] {
  const lines = daemons.flatMap((name) => said(lab, name).filter(({ at }) => at >= began - 1000));
  const texts = lines.toSorted((a, b) => a.at - b.at).map(({ at, name, text }) => `${((at - began) / 1000).toFixed(2).padStart(7)} ${name}: ${text}`);
  return texts.length <= most ? texts : [...texts.slice(0, most / 2), `… ${texts.length - most} more …`, ...texts.slice(-most / 2)];
}

function said(lab: FaultLab, name: string): { readonly at: number; readonly name: string; readonly text: string }[] {
  return readFileSync(lab.log(name), "utf8")
    .split("\n")
    .flatMap((line) => {
      const entry = parse(line);
      return entry
        ? [
            {
              at: Date.parse(entry.time),
              name,
              text: `${entry.event}: ${entry.text}${entry.repeated === undefined ? "" : ` (said before: ${entry.repeated} times more within the last 10 s)`}`,
            },
          ]
        : [];
    });
}

function parse(line: string): { readonly time: string; readonly event: string; readonly text: string; readonly repeated?: number } | undefined {
  try {
    return JSON.parse(line) as { readonly time: string; readonly event: string; readonly text: string; readonly repeated?: number };
  } catch {
    return undefined;
  }
}
