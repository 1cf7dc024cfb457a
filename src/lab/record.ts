/**
 * The lab's record: everything a lab has made or is about to make, written before it is done. `lab down` removes what stands
 * here and nothing else, also when `lab up` was killed half-way. One file, replaced atomically, in the lab's own directory.
 */
import { linkSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { callerFault, FaultError } from "#base/fault.ts";
import type { LabKind } from "#config/lab-schema.ts";
import { identify, type ProcessIdentity } from "./process-identity.ts";

const schema = 1;

export interface LabRecord {
  readonly schema: typeof schema;
  readonly lab: string;
  /** Absolute path of the topology file. */
  readonly topology: string;
  /** The lab's directory. */
  readonly home: string;
  /** ISO 8601. */
  readonly created: string;
  /** Who is making the lab; undefined once it stands. */
  starting: ProcessIdentity | undefined;
  readonly machines: readonly MachineRecord[];
  processes: ProcessRecord[];
}

export interface MachineRecord {
  readonly name: string;
  readonly kind: LabKind;
  readonly namespace: string;
  readonly home: string;
  /** Without length; a pod's are added when it is attached. */
  addresses: string[];
  /** Pods only. */
  readonly node: string | undefined;
  readonly pool: string | undefined;
}

export interface ProcessRecord extends ProcessIdentity {
  readonly machine: string;
  readonly name: string;
  readonly namespace: string;
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly log: string;
}

/** Where labs keep their directories. */
export function labsDirectory(): string {
  return process.env["PODWAY_LAB_DIR"] ?? "/run/podway/lab";
}
export function labHome(lab: string): string {
  return join(labsDirectory(), lab);
}
const recordFile = (home: string): string => join(home, "record.json");

/** Claims the lab's name by writing its first record; a fault if a lab of that name is there. */
export function claimRecord(record: LabRecord): void {
  mkdirSync(record.home, { recursive: true, mode: 0o755 });
  const file = recordFile(record.home),
    draft = `${file}.${process.pid}`;
  writeFileSync(draft, print(record), { mode: 0o600 });
  try {
    linkSync(draft, file); // whole or not at all: whoever reads it meanwhile sees no half of it
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    throw new FaultError(callerFault("lab.exists", `lab ${record.lab} is there already; remove it with: podway lab down ${record.lab}`), error);
  } finally {
    rmSync(draft, { force: true });
  }
}

export function saveRecord(record: LabRecord): void {
  const file = recordFile(record.home);
  writeFileSync(`${file}.new`, print(record), { mode: 0o600 });
  renameSync(`${file}.new`, file);
}

export function readRecord(lab: string): LabRecord | undefined {
  let text: string;
  try {
    text = readFileSync(recordFile(labHome(lab)), "utf8");
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw error;
  }
  const record = JSON.parse(text) as Omit<LabRecord, "schema"> & { readonly schema: number };
  if (record.schema === schema) return record as LabRecord;
  const sentence = `${recordFile(labHome(lab))} was written by another version of Podway (schema ${record.schema}); remove the lab with that version`;
  throw new FaultError(callerFault("lab.record", sentence));
}

/** Every lab with a record, by name. */
export function listRecords(): readonly LabRecord[] {
  let names: string[];
  try {
    names = readdirSync(labsDirectory()).sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
  return names.flatMap((name) => readRecord(name) ?? []);
}

/** The record of this process's new lab. */
export function newRecord(lab: string, at: { topology: string; home: string }, machines: readonly MachineRecord[]): LabRecord {
  return { schema, lab, ...at, created: new Date().toISOString(), starting: identify(process.pid), machines, processes: [] };
}

/** The machine called `name`, or a fault that names those there are. */
export function recordedMachine(record: LabRecord, name: string): MachineRecord {
  const machine = record.machines.find((one) => one.name === name);
  if (machine) return machine;
  const names = record.machines.map((one) => one.name).join(", ");
  throw new FaultError(callerFault("lab.machine", `lab ${record.lab} has no machine "${name}"; it has ${names}`));
}

function print(record: LabRecord): string {
  return `${JSON.stringify(record, undefined, 1)}\n`;
}
