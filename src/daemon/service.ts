/** One run of the daemon: telemetry, signals, systemd, and the tasks between them. Ends the process. */
import { FaultError } from "#base/fault.ts";
import { note } from "#base/note.ts";
import { openSystemd, type Systemd } from "#adapters/systemd.ts";
import { noteStyle, openTelemetry, type SystemTelemetry } from "#adapters/telemetry.ts";
import { assemble, type DaemonOptions } from "./assemble.ts";
import type { Control } from "./control.ts";
import { processSignals, runAll, type Task } from "./tasks.ts";

export interface ServiceOptions extends Omit<DaemonOptions, "telemetry"> {
  readonly level: "debug" | "info" | "warn" | "error";
  /** The ways in for others: started first, so that a daemon that waits can be asked why. */
  readonly doors: (control: Control, telemetry: SystemTelemetry) => readonly Task[];
}

/** Runs until SIGTERM or SIGINT; exit code 1 and one note if it cannot. */
export async function runService(options: ServiceOptions): Promise<never> {
  const telemetry = openTelemetry({ level: options.level, fd: 1, style: noteStyle(1, process.stdout.isTTY === true, process.env) });
  const systemd = openSystemd(process.env, process.pid);
  const beat = systemd.watchdogMillis === undefined ? undefined : setInterval(() => systemd.watchdog(), systemd.watchdogMillis / 2);
  try {
    await runDaemon(options, telemetry, systemd);
    systemd.stopping("stopped");
  } catch (cause) {
    telemetry.note(note("error", "daemon.failed", sentenceOf(cause)));
    process.exitCode = 1;
  }
  clearInterval(beat);
  await telemetry.close();
  process.exit();
}

async function runDaemon(options: ServiceOptions, telemetry: SystemTelemetry, systemd: Systemd): Promise<void> {
  const { node, version } = options,
    running = `running as node ${node}`;
  let reload: (() => Promise<void>) | undefined;
  const signal = processSignals(() => {
    if (!reload) return; // it has only just read the file
    systemd.reloading();
    void reload().finally(() => systemd.ready(running));
  });
  const daemon = await assemble({ ...options, telemetry });
  const tasks = [...options.doors(daemon.control, telemetry), ...daemon.tasks];
  await runAll(
    tasks,
    signal,
    (said) => telemetry.note(said),
    () => {
      reload = () => daemon.reload();
      telemetry.note(note("info", "daemon.running", `podwayd ${version} runs as node ${node}`, { node }));
      systemd.ready(running);
    },
  );
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
