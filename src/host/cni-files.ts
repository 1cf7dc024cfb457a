/**
 * The CNI plugin where runtimes look for it, and the network that calls it. Done again it changes nothing; a runtime that reads in
 * between finds the old file or the new one, whole. A file is ours if it says so: others are never replaced and never removed.
 */
import { mkdir, readFile, rm, stat } from "node:fs/promises";
import { stripTypeScriptTypes } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { writeFileAtomic } from "#adapters/files.ts";
import type { CniFilesAnswer, CniFilesQuestion } from "#base/cni-files.ts";
import { callerFault, FaultError, worldFault } from "#base/fault.ts";

/** The later ones import from the earlier ones. */
const sources = ["exchange.ts", "plugin.ts"].map((name) => fileURLToPath(new URL(`../cni/${name}`, import.meta.url)));
const names = ["podway-cni", "podway-ipam"] as const;
/** Second line of the plugin, by which it is known again. */
const mark = "// podway cni install wrote this file";
/** The kernel takes no longer first line (BINPRM_BUF_SIZE), and splits it at blanks. */
const shebangOctets = 255;

interface File {
  readonly path: string;
  readonly text: string;
  readonly mode: number;
  readonly isOurs: (text: string) => boolean;
}

/** Rejects with one sentence if a file cannot be written, or has the name of ours and is somebody else's. */
export async function installCni(question: CniFilesQuestion): Promise<CniFilesAnswer> {
  if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(question.network))
    throw new FaultError(callerFault("host.cni", `${JSON.stringify(question.network)} is no name of a network: letters, digits, "_", "." and "-"`));
  const changed: string[] = [],
    unchanged: string[] = [];
  for (const file of [...(await plugins(question)), network(question)]) {
    const there = await readText(file.path);
    const isRight = there === file.text && ((await stat(file.path)).mode & 0o777) === file.mode;
    if (there !== undefined && !file.isOurs(there))
      throw new FaultError(callerFault("host.cni", `${file.path} is there and is not Podway's; move it away, or choose another folder or network name`));
    if (!isRight) await write(file);
    (isRight ? unchanged : changed).push(file.path);
  }
  return { changed, unchanged };
}

export async function uninstallCni(question: CniFilesQuestion): Promise<CniFilesAnswer> {
  const changed: string[] = [],
    unchanged: string[] = [];
  for (const file of [network(question), ...names.map((name) => plugin(join(question.bin, name), ""))]) {
    const there = await readText(file.path);
    if (there === undefined) continue;
    if (file.isOurs(there)) await rm(file.path, { force: true });
    (file.isOurs(there) ? changed : unchanged).push(file.path);
  }
  return { changed, unchanged };
}

async function plugins({ bin }: CniFilesQuestion): Promise<readonly File[]> {
  const shebang = `#!${process.execPath}`;
  if (/\s/.test(process.execPath) || Buffer.byteLength(shebang) > shebangOctets)
    throw new FaultError(
      callerFault("host.cni", `the path of Node, ${process.execPath}, cannot stand in a first line; run podway by a Node in another folder`),
    );
  const parts = await Promise.all(sources.map((path) => readFile(path, "utf8")));
  const text = `${shebang}\n${mark}\n${stripped(parts.map(joinable).join("\n"))}`;
  return names.map((name) => plugin(join(bin, name), text));
}
const plugin = (path: string, text: string): File => ({ path, text, mode: 0o755, isOurs: (there) => there.split("\n", 2)[1] === mark });

/** Without imports of the room and exports to it. */
const joinable = (text: string): string => text.replace(/^import .* from "\.\/.*";\n/gm, "").replace(/^export (?=const|class|function|async)/gm, "");

/** Without types, and without the comments that a runtime would read with every container. */
function stripped(text: string): string {
  const { emitWarning } = process;
  // Node still calls the function experimental; what it gives is compared with the source by a test.
  process.emitWarning = () => undefined;
  try {
    return stripTypeScriptTypes(text)
      .replace(/^\s*\/\*\*.*?\*\/\n/gms, "")
      .replace(/[ \t]+$/gm, "")
      .replace(/\n{2,}/g, "\n")
      .trimStart();
  } finally {
    process.emitWarning = emitWarning;
  }
}

function network({ conf, network: name, socket, stateDirectory, pools }: CniFilesQuestion): File {
  const list = {
    cniVersion: "1.0.0",
    cniVersions: ["0.4.0", "1.0.0", "1.1.0"],
    name,
    plugins: [
      {
        type: names[0],
        socket,
        spool: join(stateDirectory, "cni-spool"),
        ...(pools.length > 0 && { pools }),
        capabilities: { ips: true, mac: true, portMappings: true, bandwidth: true, dns: true, aliases: true },
      },
    ],
  };
  const isOurs = (there: string): boolean => there.includes(`"type": "${names[0]}"`);
  return { path: join(conf, `10-${name}.conflist`), text: `${JSON.stringify(list, null, 2)}\n`, mode: 0o644, isOurs };
}

async function write({ path, text, mode }: File): Promise<void> {
  try {
    await mkdir(join(path, ".."), { recursive: true });
    await writeFileAtomic(path, text, mode);
  } catch (cause) {
    throw new FaultError(worldFault("host.cni", `${path} cannot be written: ${(cause as Error).message}`));
  }
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new FaultError(worldFault("host.cni", `${path} cannot be read: ${(cause as Error).message}`));
  }
}
