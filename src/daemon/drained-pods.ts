/** Pods of a node that is out of service: those that are there stay as they are, new ones are refused until it serves again. */
import { callerFault, failed, type Fault, type Outcome } from "#base/fault.ts";
import type { PodControl } from "./pod-control.ts";

/** `drained`: one sentence while the node takes no new pods. A container that has its address already is answered as before. */
export function whileInService(pods: PodControl, drained: () => string | undefined): PodControl {
  const refusal = (containerId: string): Outcome<never, Fault> | undefined => {
    const why = drained();
    const isKnown = why === undefined || pods.addresses({}).some((address) => address.containerId === containerId);
    return isKnown ? undefined : failed(callerFault("ipam.try-later", why));
  };
  const guarded: Pick<PodControl, "attach" | "allocate" | "readiness"> = {
    attach: async (request) => refusal(request.containerId) ?? pods.attach(request),
    allocate: async (request) => refusal(request.containerId) ?? pods.allocate(request),
    readiness() {
      const { ready, reasons } = pods.readiness(),
        why = drained();
      return why === undefined ? { ready, reasons } : { ready: false, reasons: [why, ...reasons] };
    },
  };
  // What is not guarded is the part's own, with its own private state.
  return new Proxy(pods, {
    get(target, name) {
      const own: unknown = Reflect.get(name in guarded ? guarded : target, name);
      return typeof own === "function" && !(name in guarded) ? own.bind(target) : own;
    },
  });
}
