/** From a topology file, or the name of a lab, to what the lab commands work on. */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { callerFault, FaultError } from "#base/fault.ts";
import { parseDocument } from "#config/parse.ts";
import { type LabDocument, type LabPlan, planLab } from "./plan.ts";
import { labHome, type LabRecord, listRecords, readRecord } from "./record.ts";

/** Longest name of a lab whose control sockets still fit a socket address (unix(7): 108 octets with the closing zero). */
const socketPathOctets = 107;

/** Reads `file`; a fault with every problem, one a line, if it is no topology with a lab. */
export function readLabDocument(file: string): LabDocument {
  const parsed = parseDocument(readTopology(file), file);
  if (!parsed.ok) throw new FaultError(parsed.fault);
  const { document } = parsed.value;
  if (!document.lab) throw new FaultError(callerFault("lab.none", `${file} has no lab: section; it says which machines and links the lab consists of`));
  return { ...document, lab: document.lab };
}

/** The plan of the lab in `file`, with this installation's programs and this machine's directories. */
export function planFile(file: string): LabPlan {
  const document = readLabDocument(file);
  const plan = planLab(document, {
    topology: resolve(file),
    home: labHome(document.name),
    node: process.execPath,
    podwayd: fileURLToPath(import.meta.resolve("../podwayd.ts")),
  });
  const longest = Math.max(...plan.machines.map((machine) => Buffer.byteLength(`${machine.home}/podwayd.sock`)));
  if (longest <= socketPathOctets) return plan;
  throw new FaultError(callerFault("lab.path", `${plan.home} is too long a path for control sockets; set PODWAY_LAB_DIR to a shorter directory`));
}

/** The lab that stands, by its topology file or its name; undefined if there is none. */
export function findLab(fileOrName: string): LabRecord | undefined {
  const records = listRecords();
  const isFile = /[/.]/.test(fileOrName);
  const byFile = isFile ? records.find((record) => record.topology === resolve(fileOrName)) : undefined;
  return byFile ?? readRecord(isFile ? readLabDocument(fileOrName).name : fileOrName);
}

/** As `findLab`, but none is a fault; without a name, the only lab there is. */
export function needLab(fileOrName: string | undefined): LabRecord {
  const records = listRecords();
  const there = records.map((record) => record.lab).join(", ");
  if (fileOrName !== undefined) {
    const found = findLab(fileOrName);
    if (found) return found;
    throw new FaultError(callerFault("lab.not-up", `lab ${fileOrName} is not up; ${there === "" ? "no lab is" : `there is ${there}`}`));
  }
  if (records.length === 1) return records[0]!;
  const text = records.length === 0 ? "no lab is up; bring one up with: podway lab up FILE" : `there are several labs (${there}); name one with --lab NAME`;
  throw new FaultError(callerFault("lab.which", text));
}

function readTopology(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    const why = (error as NodeJS.ErrnoException).code === "ENOENT" ? "there is no such file" : (error as Error).message;
    throw new FaultError(callerFault("lab.file", `${file}: ${why}`), error);
  }
}
