/** BFD in the matrix: FRR and BIRD on a link and over a router; of the others, what their own check says of a configuration that asks for it. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "#lab/command.ts";
import { tryBfd } from "./bfd.ts";
import { bird, type BfdSpeaker, frr } from "./bfd-speakers.ts";
import type { Cell, Column, Row } from "./matrix.ts";

/** Row → the scenes of bfd.ts that are of it. */
const scenes: ReadonlyMap<Row, string> = new Map([
  ["BFD on a link", "link"],
  ["BFD over a router", "over a router"],
]);
const speakers: Readonly<Record<string, BfdSpeaker>> = { bird, frr };

interface Check {
  /** Reads a configuration and says what is wrong with it; the file's name comes last. */
  readonly argv: readonly string[];
  /** One neighbour, with `bfd` among its settings. */
  config(bfd: string): string;
  readonly bfd: string;
  readonly refusal: RegExp;
}

const checks: Readonly<Record<string, Check>> = {
  gobgp: {
    argv: ["gobgpd", "--dry-run", "-f"],
    config: (bfd) => `[global.config]
as = 65001
router-id = "10.0.0.1"
[[neighbors]]
[neighbors.config]
neighbor-address = "10.9.1.1"
peer-as = 65000
${bfd}`,
    bfd: "[neighbors.bfd.config]\nenabled = true\n",
    refusal: /has invalid keys: bfd/,
  },
  openbgpd: {
    argv: ["/usr/sbin/bgpd", "-n", "-f"],
    config: (bfd) => `AS 65001\nrouter-id 10.0.0.1\nneighbor 10.9.1.1 {\n  remote-as 65000\n${bfd}}\n`,
    bfd: "  bfd yes\n",
    refusal: /:5: (syntax error.*)/,
  },
  exabgp: {
    argv: ["exabgp", "--test"],
    config: (bfd) => `neighbor 10.9.1.1 {\n  router-id 10.0.0.1; local-address 10.9.1.2; local-as 65001; peer-as 65000;\n${bfd}}\n`,
    bfd: "  bfd true;\n",
    refusal: /invalid keyword "bfd"/,
  },
};

/** Fills the rows of one speaker, by its name on the command line. */
export async function tryBfdRows(name: string, home: string, { column, wanted }: { column: Column; wanted(row: Row): boolean }): Promise<void> {
  const rows = [...scenes.keys()].filter(wanted),
    speaker = speakers[name];
  if (rows.length === 0) return;
  if (!speaker) {
    const cell = await refusalOf(checks[name]!, home);
    for (const row of rows) column.set(row, cell);
    return;
  }
  const done = await tryBfd(
    speaker,
    home,
    rows.map((row) => scenes.get(row)!),
  );
  for (const row of rows) {
    const of = done.filter(({ what }) => what.includes(scenes.get(row)!)),
      failed = of.filter(({ passed }) => !passed),
      told = (some: typeof of): string => some.map(({ what, text }) => `${what.replace(/^.*(?=IPv)/, "")}: ${text}`).join("; ");
    column.set(row, failed.length > 0 ? { verdict: "no", note: told(failed) } : { verdict: "yes", note: told(of) });
  }
}

/** It takes the configuration without BFD, and not the one with it. */
async function refusalOf({ argv, config, bfd, refusal }: Check, home: string): Promise<Cell> {
  const directory = mkdtempSync(join(home, "check-")),
    file = join(directory, "speaker.conf");
  const said = async (text: string): Promise<string> => {
    writeFileSync(file, text, { mode: 0o600 });
    const { stdout, stderr } = await run([...argv, file]);
    return `${stdout}${stderr}`;
  };
  try {
    const without = await said(config("")),
      match = refusal.exec(await said(config(bfd)));
    if (!match) return { verdict: "no", note: "its configuration takes BFD: try it" };
    if (refusal.test(without)) return { verdict: "no", note: `its check refuses the configuration without BFD too: ${without.slice(0, 200)}` };
    return { verdict: "theirs", note: `its configuration check refuses BFD: ${match[1] ?? match[0]}` };
  } finally {
    rmSync(directory, { recursive: true });
  }
}
