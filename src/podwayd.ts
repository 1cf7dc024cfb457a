/** The daemon's entry: arguments in, the house put together, run until told to stop. */
import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { parseArgs } from "node:util";
import { note } from "#base/note.ts";
import { FaultError } from "#base/fault.ts";
import { openSystemd } from "#adapters/systemd.ts";
import { noteStyle, openTelemetry } from "#adapters/telemetry.ts";
import { createServer } from "#api/server.ts";
import { assemble } from "#daemon/assemble.ts";
import { readTopology } from "#daemon/document-text.ts";
import { processSignals, runAll } from "#daemon/tasks.ts";

const usage = `podwayd --topology FILE [--node NAME] [--api SOCKET] [--state DIR] [--check] [--log LEVEL]

  --topology FILE  the document; see \`podway manual\`
  --node NAME      which of its nodes this is (default: the host name)
  --api SOCKET     control socket (default: /run/podway/podwayd.sock)
  --state DIR      state directory (default: /var/lib/podway)
  --check          validate the document and exit
  --log LEVEL      debug, info (default), warn or error
  --version        print the version and exit
`;
const levels = ["debug", "info", "warn", "error"] as const;
const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as { version: string };

function fail(text: string, code: number): never {
  process.stderr.write(`${text}\n`);
  process.exit(code);
}

function readArguments() {
  try {
    return parseArgs({
      options: {
        topology: { type: "string" },
        node: { type: "string" },
        api: { type: "string" },
        state: { type: "string" },
        log: { type: "string", default: "info" },
        check: { type: "boolean", default: false },
        help: { type: "boolean", short: "h", default: false },
        version: { type: "boolean", default: false },
      },
    }).values;
  } catch (cause) {
    return fail(`${cause instanceof Error ? cause.message : String(cause)} (see podwayd --help)`, 2);
  }
}

async function main(): Promise<void> {
  const given = readArguments();
  if (given.help) return void process.stdout.write(usage);
  if (given.version) return void process.stdout.write(`${version}\n`);
  const level = levels.find((name) => name === given.log);
  if (!given.topology) fail("podwayd needs --topology FILE (see podwayd --help).", 2);
  if (!level) fail(`--log ${given.log} is no level: debug, info, warn or error.`, 2);
  const node = given.node ?? hostname();
  const first = await readTopology(given.topology, node);
  if (!first.ok) fail(first.fault.text, 1);
  for (const warning of first.value.warnings) process.stderr.write(`${given.topology}:${warning}\n`);
  if (given.check) return void process.stdout.write(`${given.topology} is valid; node ${node} is ${first.value.settings.roles.join(" and ")}.\n`);
  await run({
    file: given.topology,
    node,
    api: given.api ?? "/run/podway/podwayd.sock",
    stateDirectory: given.state ?? "/var/lib/podway",
    level,
    first: first.value,
  });
}

interface RunOptions {
  readonly file: string;
  readonly node: string;
  readonly api: string;
  readonly stateDirectory: string;
  readonly level: (typeof levels)[number];
  readonly first: Parameters<typeof assemble>[0]["first"];
}

async function run(options: RunOptions): Promise<void> {
  const telemetry = openTelemetry({ level: options.level, fd: 1, style: noteStyle(1, process.stdout.isTTY === true, process.env) });
  const systemd = openSystemd(process.env, process.pid);
  let reload: (() => Promise<void>) | undefined;
  const signal = processSignals(() => {
    if (!reload) return; // it has only just read the file
    systemd.reloading();
    void reload().finally(() => systemd.ready(`running as node ${options.node}`));
  });
  const beat = systemd.watchdogMillis && setInterval(() => systemd.watchdog(), systemd.watchdogMillis / 2);
  try {
    const daemon = await assemble({ ...options, version, telemetry });
    const api = createServer(daemon.control, telemetry, { socket: options.api, group: "podway" });
    await runAll(
      [api, ...daemon.tasks],
      signal,
      (said) => telemetry.note(said),
      () => {
        reload = () => daemon.reload();
        telemetry.note(note("info", "daemon.running", `podwayd ${version} runs as node ${options.node}`, { node: options.node }));
        systemd.ready(`running as node ${options.node}`);
      },
    );
    systemd.stopping("stopped");
  } catch (cause) {
    telemetry.note(note("error", "daemon.failed", sentenceOf(cause)));
    process.exitCode = 1;
  }
  if (beat) clearInterval(beat);
  await telemetry.close();
  process.exit();
}

/** The innermost fault is the one that says what to do; what the system refused speaks for itself; the rest is a bug of ours. */
function sentenceOf(cause: unknown): string {
  let last: unknown = cause;
  for (let error = cause; error instanceof Error; error = error.cause) {
    if (error instanceof FaultError) return error.fault.text;
    last = error;
  }
  if (!(last instanceof Error)) return String(cause);
  return "syscall" in last ? `${(cause as Error).message}.` : `a fault of podwayd, please report it: ${last.stack ?? last.message}`;
}

await main();
