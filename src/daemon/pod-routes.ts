/** Routes a caller wants in the pod instead of its pools', checked; those without a gateway go through the pod's own. */
import { type CallerFault, callerFault, failed, ok, type Outcome } from "#base/fault.ts";
import { familyOf, parseIp } from "#base/ip.ts";
import { parsePrefix, prefixFamily } from "#base/prefix.ts";
import type { PoolSettings } from "#base/settings.ts";
import type { PodRecord } from "#ipam/pod-terms.ts";
import type { AttachRequest } from "./pod-control.ts";
import { gatewayFor, type PodRoute } from "./pod-rules.ts";

const routesMost = 64;

type LinkRoutes = NonNullable<NonNullable<PodRecord["link"]>["routes"]>;

/** Undefined if the caller asks for none. */
export function readRoutes(asked: AttachRequest["routes"]): Outcome<LinkRoutes | undefined, CallerFault> {
  if (asked === undefined) return ok(undefined);
  if (asked.length > routesMost) return failed(callerFault("ipam.bad-request", `at most ${routesMost} routes can be asked for`));
  const read: LinkRoutes[number][] = [];
  for (const { destination, gateway } of asked) {
    const prefix = parsePrefix(destination),
      via = gateway === undefined ? undefined : parseIp(gateway);
    const isWhole = prefix !== undefined && (gateway === undefined || (via !== undefined && familyOf(via) === prefixFamily(prefix)));
    if (!isWhole)
      return failed(
        callerFault(
          "ipam.bad-request",
          `route ${destination}${gateway === undefined ? "" : ` via ${gateway}`}: write a CIDR without host bits, and a gateway of its family`,
        ),
      );
    read.push({ destination: prefix, ...(via !== undefined && { gateway: via }) });
  }
  return ok(read);
}

/** With the gateways that follow from the addresses that were given; of a family that was not given there are none. */
export function routesAsked(asked: LinkRoutes, records: readonly PodRecord[], pools: readonly PoolSettings[]): readonly PodRoute[] {
  return asked.flatMap(({ destination, gateway }) => {
    const own = records.find(({ address }) => familyOf(address) === prefixFamily(destination)),
      pool = pools.find(({ name }) => name === own?.pool);
    return own === undefined ? [] : [{ destination, gateway: gateway ?? gatewayFor(pool, own) }];
  });
}
