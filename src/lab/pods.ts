/** Pods of a lab: a namespace on a veth of its node, with an address out of the CIDR the node holds (product §6.12). */
import { FaultError, worldFault } from "#base/fault.ts";
import { addressAt, type Prefix } from "#base/prefix.ts";
import { controlPaths, type LeaseView } from "#daemon/control.ts";
import { awaitFact, ipBatch } from "./command.ts";
import { getJson } from "./daemon-client.ts";
import { apiSocket } from "./plan.ts";
import { attachLines, type PodPlan } from "./pod-plan.ts";
import { type LabRecord, saveRecord } from "./record.ts";

const leaseMillis = 30_000;

/** Gives the pod its address and its link, and writes the address into the record. */
export async function attachPod(record: LabRecord, pod: PodPlan, signal?: AbortSignal): Promise<void> {
  const addresses = "pool" in pod.source ? [addressAt(await awaitLease(record, pod, signal), BigInt(pod.source.index))] : pod.source.addresses;
  const lines = attachLines(pod, addresses);
  const machine = record.machines.find((one) => one.name === pod.name)!;
  machine.addresses = [...addresses];
  saveRecord(record);
  await ipBatch(`${pod.name}: link to ${pod.node}`, [lines.wire]);
  await ipBatch(`${pod.node}: end of ${pod.name}`, lines.node, pod.nodeNamespace);
  await ipBatch(`${pod.name}: address and gateway`, lines.pod, pod.namespace);
}

async function awaitLease(record: LabRecord, pod: PodPlan, signal?: AbortSignal): Promise<Prefix> {
  const socket = apiSocket(record.machines.find((one) => one.name === pod.node)!.home);
  const pool = "pool" in pod.source ? pod.source.pool : "";
  let last = "its daemon does not answer";
  const look = async (): Promise<Prefix | undefined> => {
    const answer = await ownLease(socket, pool);
    if ("cidr" in answer) return answer.cidr;
    last = answer.missing;
    return undefined;
  };
  const cidr = await awaitFact(look, { millis: leaseMillis, signal });
  if (cidr !== undefined) return cidr;
  throw new FaultError(worldFault("lab.lease", `${pod.name}: ${pod.node} holds no CIDR of pool ${pool} after ${leaseMillis / 1000} s: ${last}`));
}

/** The CIDR that the daemon at `socket` holds of `pool`, or why it holds none. */
export async function ownLease(socket: string, pool: string): Promise<{ readonly cidr: Prefix } | { readonly missing: string }> {
  const answer = await getJson<readonly LeaseView[]>(socket, controlPaths.leases);
  if (!answer.ok) return { missing: answer.fault.text };
  const lease = answer.value.find((one) => one.own && one.pool === pool);
  if (lease?.state === "held" && lease.cidr !== null) return { cidr: lease.cidr as Prefix };
  return { missing: lease ? `its lease is ${lease.state}${lease.reason ? ` (${lease.reason})` : ""}` : `it knows of no lease of pool ${pool}` };
}
