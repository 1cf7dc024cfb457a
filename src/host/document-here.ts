/** Which document tells what this machine should be: the daemon's, else the one it knew last, else the file. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type CallerFault, callerFault, failed, ok, type Outcome } from "#base/fault.ts";
import type { HostQuestion } from "#base/check.ts";
import type { NodeSettings } from "#base/settings.ts";
import { interpret } from "#daemon/document-text.ts";

export interface Here {
  readonly settings: NodeSettings;
  /** Where it was found, for a sentence. */
  readonly source: string;
}

export async function settingsFor({ topology, node, stateDirectory, ruling }: HostQuestion): Promise<Outcome<Here, CallerFault>> {
  const known = join(stateDirectory, "document.yaml");
  const sources = [
    { source: "the daemon", text: ruling },
    { source: known, text: await readFile(known, "utf8").catch(() => undefined) },
    { source: topology, text: await readFile(topology, "utf8").catch(() => undefined) },
  ];
  const found = sources.find(({ text }) => text !== undefined);
  if (!found) return failed(callerFault("host.no-document", `neither ${known} nor ${topology} is there: name the file with --topology.`));
  const read = interpret(found.text!, found.source, node);
  return read.ok ? ok({ settings: read.value.settings, source: found.source }) : read;
}
