/** The rows of ours on the node that kernel faults are done to, as iproute2 lists them. */
import { setTimeout as sleep } from "node:timers/promises";
import { must } from "#lab/command.ts";
import type { FaultLab } from "./lab.ts";
import { device, readOurs } from "./state.ts";

/** Where it is done, and how long a repair may take. */
export const node = "n1";
export const mostMillis = 1000;

/** Milliseconds since `began` until a look at the kernel's tables has found them as they were: a bound from above, as good as a look is quick. */
export async function repaired(lab: FaultLab, before: readonly string[], began: number): Promise<number> {
  for (;;) {
    const found = same(before, await readOurs(lab, node)),
      millis = performance.now() - began;
    if (found || millis > 20_000) return millis;
    await sleep(20);
  }
}

const same = (a: readonly string[], b: readonly string[]): boolean => a.length === b.length && a.every((line, i) => line === b[i]);

export interface KernelRoute {
  readonly family: 4 | 6;
  readonly prefix: string;
  readonly text: string;
}

export async function routes(lab: FaultLab): Promise<readonly KernelRoute[]> {
  const all = await Promise.all(
    ([4, 6] as const).map(async (family) => {
      const text = await must("routes", ["ip", "-n", lab.namespace(node), `-${family}`, "route", "show", "proto", "117"]);
      return text
        .trim()
        .split("\n")
        .map((line): KernelRoute => ({ family, prefix: /[0-9a-f.:]+\/\d+/.exec(line)![0], text: line }));
    }),
  );
  return all.flat();
}

export async function neighbours(lab: FaultLab): Promise<readonly { readonly address: string }[]> {
  const text = await must("neighbours", ["ip", "-n", lab.namespace(node), "neigh", "show", "dev", device, "nud", "permanent"]);
  return text
    .trim()
    .split("\n")
    .map((line) => ({ address: line.split(" ")[0]! }));
}

export interface FdbEntry {
  readonly mac: string;
  /** Outer address. */
  readonly to: string;
}

export async function entries(lab: FaultLab): Promise<readonly FdbEntry[]> {
  const text = await must("FDB", ["bridge", "-n", lab.namespace(node), "fdb", "show", "dev", device]);
  return text
    .trim()
    .split("\n")
    .map((line) => ({ mac: line.split(" ")[0]!, to: /dst (\S+)/.exec(line)![1]! }));
}
