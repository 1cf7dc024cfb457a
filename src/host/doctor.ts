/** `podway doctor`: everything that commonly goes wrong, looked at from this machine, with or without a daemon. Changes nothing. */
import { createHash } from "node:crypto";
import { readSecret } from "#adapters/secrets.ts";
import { systemClock } from "#adapters/system-clock.ts";
import { type Check, type HostQuestion, bad, doubtful, good } from "#base/check.ts";
import { FaultError } from "#base/fault.ts";
import type { NodeSettings, Secret } from "#base/settings.ts";
import { openStore } from "#daemon/store-choice.ts";
import { nodesPrefix, parsePresence } from "#ipam/lease-record.ts";
import type { Entry } from "#ports/store.ts";
import { settingsFor } from "./document-here.ts";
import { lookAt } from "./machine.ts";
import { checkMachine } from "./machine-checks.ts";
import { checkNetwork } from "./network-checks.ts";
import { checkStore } from "./store-probe.ts";

const storeMillis = 4000;

/** Every check, in the order a person would look. */
export async function examine(question: HostQuestion): Promise<readonly Check[]> {
  const isRunning = question.ruling !== undefined;
  const daemon = isRunning
    ? good("daemon", "podwayd answers.")
    : doubtful("daemon", "no podwayd answers: systemctl start podwayd, or name its socket with --api.");
  const found = await settingsFor(question);
  if (!found.ok) return [daemon, bad("document", found.fault.text)];
  const { settings, source } = found.value;
  const machine = await lookAt(settings, question.stateDirectory);
  const [own, store, twins] = await Promise.all([checkMachine(settings, machine, isRunning), checkStore(settings), checkTwins(settings, machine.machineId)]);
  return [
    daemon,
    good("document", `node ${settings.node} of ${settings.cluster}, as ${source} says.`),
    ...own,
    ...store,
    ...twins,
    ...checkNetwork(settings, machine),
  ];
}

/** Two machines made from one image have one machine id: leases and tunnels then take one for the other. */
async function checkTwins(settings: NodeSettings, machineId: string | undefined): Promise<readonly Check[]> {
  if (settings.store.kind !== "etcd" || machineId === undefined) return [];
  try {
    const entries = await presences(settings);
    const shown = createHash("sha256").update(`podway ${machineId}`).digest("hex").slice(0, 12);
    const known = entries.flatMap((entry) => {
      const parsed = parsePresence(entry);
      return parsed.ok ? [parsed.value] : [];
    });
    const twins = known.filter(({ node, identity }) => node !== settings.node && identity.startsWith(`${shown}-`)).map(({ node }) => node);
    if (twins.length === 0) return [good("machine-id", "no other node has this machine's id.")];
    return [
      bad(
        "machine-id",
        `${twins.join(", ")} has the machine id of this machine, as copies of one image do: rm /etc/machine-id and systemd-machine-id-setup on one of them.`,
      ),
    ];
  } catch (cause) {
    return [doubtful("machine-id", `other nodes' ids cannot be compared: ${cause instanceof FaultError ? cause.fault.text : (cause as Error).message}.`)];
  }
}

async function presences(settings: NodeSettings): Promise<readonly Entry[]> {
  const secret = (of: Secret): Promise<Uint8Array> => readSecret(of, { credentialsDirectory: process.env["CREDENTIALS_DIRECTORY"], note: () => {} });
  const store = await openStore(settings, { stateDirectory: "", clock: systemClock, telemetry: { note: () => {}, gauge: () => {} }, secret });
  const late = new Promise<never>((_, reject) =>
    setTimeout(() => reject(new Error(`the store gave no answer within ${storeMillis / 1000} s`)), storeMillis).unref(),
  );
  try {
    return (await Promise.race([store!.list(nodesPrefix), late])).entries;
  } finally {
    await store!.close();
  }
}
