/** The way of a pod's route into the kernel: wanted here, planned with everything else (streams.ts), written by the reconcile loop. */
import { setTimeout as pause } from "node:timers/promises";
import type { Ip } from "#base/ip.ts";
import { keyOf } from "#base/kernel-row.ts";
import { onlyOf } from "#overlay/attach.ts";
import type { Fabric } from "#overlay/fabric.ts";
import type { Reconciler } from "./reconcile.ts";

/** The pods' routes, in the node's tables. */
export interface PodRouting {
  /** Takes the whole of them: address → device. */
  want(routes: ReadonlyMap<Ip, string>): void;
  /** Resolves once the kernel has the route to the address; false if it had not within `millis`. */
  settled(address: Ip, millis: number): Promise<boolean>;
}

export interface PodRouterOptions {
  readonly reconciler: Reconciler;
  readonly metric: number;
  readonly want: (routes: ReadonlyMap<Ip, string>) => void;
}

export class PodRouter implements PodRouting {
  readonly #options: PodRouterOptions;
  #planned: Fabric["route"] = new Map();
  readonly #waiting = new Map<string, (() => void)[]>();

  constructor(options: PodRouterOptions) {
    this.#options = options;
  }

  want(routes: ReadonlyMap<Ip, string>): void {
    this.#options.want(routes);
  }

  /** The reconcile loop was given this plan. */
  planned({ route }: Fabric): void {
    this.#planned = route;
    for (const [key, resolves] of this.#waiting) {
      if (!route.has(key)) continue;
      this.#waiting.delete(key);
      for (const resolve of resolves) resolve();
    }
  }

  async settled(address: Ip, millis: number): Promise<boolean> {
    const key = keyOf.route({ prefix: onlyOf(address), metric: this.#options.metric, hops: [] });
    const inKernel = this.#inPlan(key).then(() => this.#options.reconciler.settled({ table: "route", key }));
    const late = new AbortController();
    try {
      return await Promise.race([inKernel.then(() => true), pause(millis, false, { signal: late.signal })]);
    } finally {
      late.abort();
    }
  }

  #inPlan(key: string): Promise<void> {
    if (this.#planned.has(key)) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.set(key, [...(this.#waiting.get(key) ?? []), resolve]));
  }
}
