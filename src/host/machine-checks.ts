/** Checks of the machine itself: its ports, clock, disk and identity. */
import { connect } from "node:net";
import { isClockSynchronised } from "#adapters/clock-discipline.ts";
import { portHolder } from "#adapters/port-holder.ts";
import { type Check, bad, doubtful, good } from "#base/check.ts";
import type { NodeSettings } from "#base/settings.ts";
import type { Machine } from "./machine.ts";

/** Less than this and the next journal or document may not fit. */
const leastFreeOctets = 64 * 1024 * 1024;
const probeMillis = 1000;

export async function checkMachine(settings: NodeSettings, machine: Machine, isRunning: boolean): Promise<readonly Check[]> {
  return [...(await ports(settings, isRunning)), ...clock(), ...disk(machine), ...identity(machine)];
}

async function ports({ listen }: NodeSettings, isRunning: boolean): Promise<Check[]> {
  if (!listen) return [good("port", "this node only dials, so it needs no port.")];
  const { port } = listen;
  if (!(await accepts(listen.addresses[0] ?? "127.0.0.1", port)))
    return [isRunning ? bad("port", `podwayd runs and nobody accepts on port ${port}: podway status says why.`) : good("port", `port ${port} is free.`)];
  const holder = await portHolder(port);
  const isOurs = isRunning && /^(node|podwayd|MainThread)/.test(holder);
  return [
    isOurs
      ? good("port", `podwayd listens on port ${port}.`)
      : bad("port", `port ${port} is taken by ${holder}: stop it, or give this node another with listen.port.`),
  ];
}

function accepts(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: probeMillis });
    const decide = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket
      .once("connect", () => decide(true))
      .once("error", () => decide(false))
      .once("timeout", () => decide(false));
  });
}

function clock(): Check[] {
  const isSynchronised = isClockSynchronised();
  if (isSynchronised) return [good("clock", "the clock follows a time source.")];
  return [
    doubtful(
      "clock",
      "the kernel does not know that the clock follows a time source: run chrony or systemd-timesyncd (certificates and histories depend on it).",
    ),
  ];
}

function disk({ disk: found }: Machine): Check[] {
  if (!found) return [doubtful("state", "there is no state directory yet; podwayd makes it when it starts, or name it with --state.")];
  if (found.isMemory)
    return [bad("state", "the state directory is in memory, so a reboot forgets the node's leases and identity: put it on a disk with --state.")];
  const free = Math.floor(found.freeOctets / 1024 / 1024);
  return [
    found.freeOctets < leastFreeOctets
      ? bad("state", `the state directory has ${free} MiB left: make room there.`)
      : good("state", `the state directory has ${free} MiB left.`),
  ];
}

function identity({ machineId }: Machine): Check[] {
  if (machineId !== undefined && /^[0-9a-f]{32}$/.test(machineId)) return [];
  return [bad("machine-id", "/etc/machine-id holds no id, so two machines under one name cannot be told apart: systemd-machine-id-setup makes one.")];
}
