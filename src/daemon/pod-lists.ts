/** Records → the containers' interfaces they belong to. */
import type { PodKey, PodRecord } from "#ipam/pod-terms.ts";

/** Of the used records that fit, each container's interface once. */
export function keysOf(records: Iterable<PodRecord>, fits: (record: PodRecord, key: string) => boolean): readonly PodKey[] {
  const keys = new Map<string, PodKey>();
  for (const record of records) {
    const { containerId, ifname, state } = record;
    if (state !== "used" || containerId === undefined || ifname === undefined) continue;
    const key = `${containerId} ${ifname}`;
    if (fits(record, key)) keys.set(key, { containerId, ifname });
  }
  return [...keys.values()];
}
