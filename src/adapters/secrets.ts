/** Secrets, read from their file or systemd credential at the moment of use. Never logged: faults name the place, not what is in it. */
import { open } from "node:fs/promises";
import { callerFault, type Fault, FaultError, worldFault } from "#base/fault.ts";
import { type Note, note } from "#base/note.ts";
import type { Secret } from "#base/settings.ts";

export const secretLimits = { octets: 4096 } as const;
const othersMayRead = 0o007;

/** What reading a secret needs from outside. */
export interface SecretSource {
  /** CREDENTIALS_DIRECTORY; undefined outside systemd. */
  readonly credentialsDirectory: string | undefined;
  note(note: Note): void;
}

/** The octets of `secret`, without the line end that editors leave. Rejects with one sentence (`secret.missing`, `secret.empty`, ...). */
export async function readSecret(secret: Secret, source: SecretSource): Promise<Uint8Array> {
  const path = "file" in secret ? secret.file : credentialPath(secret.credential, source.credentialsDirectory);
  const { bytes, mode } = await readBounded(path);
  if ("file" in secret && (mode & othersMayRead) !== 0) {
    source.note(note("warn", "secret.open-to-all", `everybody on this machine can read the secret in ${path}: chmod 600 ${path}.`));
  }
  const end = bytes.at(-1) === 0x0a ? (bytes.at(-2) === 0x0d ? -2 : -1) : undefined;
  const octets = bytes.subarray(0, end);
  if (octets.length === 0) throw new FaultError(callerFault("secret.empty", `the secret in ${path} is empty: write it there.`));
  return octets;
}

function credentialPath(name: string, directory: string | undefined): string {
  if (!/^[\w.-]+$/.test(name) || name === "." || name === "..") {
    throw new FaultError(callerFault("secret.bad-name", `"${name}" is no name of a systemd credential: use letters, digits, ".", "_" and "-".`));
  }
  if (directory === undefined) {
    throw new FaultError(
      callerFault("secret.missing", `the credential "${name}" needs systemd: add LoadCredential=${name}:PATH to podwayd.service, or name a file.`),
    );
  }
  return `${directory}/${name}`;
}

async function readBounded(path: string): Promise<{ readonly bytes: Uint8Array; readonly mode: number }> {
  try {
    await using file = await open(path, "r");
    const { mode } = await file.stat();
    const buffer = new Uint8Array(secretLimits.octets + 1);
    let size = 0;
    for (let got = -1; got !== 0 && size < buffer.length; size += got) got = (await file.read(buffer, size)).bytesRead;
    if (size > secretLimits.octets)
      throw new FaultError(callerFault("secret.too-long", `the secret in ${path} is longer than ${secretLimits.octets} octets: name another file.`));
    return { bytes: buffer.subarray(0, size), mode };
  } catch (error) {
    throw error instanceof FaultError ? error : new FaultError(readFault(path, error as NodeJS.ErrnoException), error);
  }
}

function readFault(path: string, { code }: NodeJS.ErrnoException): Fault {
  if (code === "ENOENT") return callerFault("secret.missing", `there is no secret at ${path}: put it there, or name another file.`);
  if (code === "EACCES") return callerFault("secret.unreadable", `the secret at ${path} may not be read by this process: give it the right to.`);
  return worldFault("secret.unreadable", `the secret at ${path} cannot be read (${code}).`);
}
