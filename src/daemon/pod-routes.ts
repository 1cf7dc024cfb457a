/** Routes a caller wants in the pod instead of its pools', checked; those without a gateway go through the pod's own. */
import { type CallerFault, callerFault, failed, ok, type Outcome } from "#base/fault.ts";
import { familyOf, parseIp } from "#base/ip.ts";
import { parsePrefix, prefixFamily } from "#base/prefix.ts";
import type { PoolSettings } from "#base/settings.ts";
import type { PodRecord } from "#ipam/pod-terms.ts";
import type { AttachRequest } from "./pod-control.ts";
import { gatewayOf, type PodRoute } from "./pod-rules.ts";

const routesMost = 64;

/** A function of the addresses that were given, since gateways follow those; undefined if the caller asks for none. */
export function readRoutes(
  asked: AttachRequest["routes"],
): Outcome<((records: readonly PodRecord[], pools: readonly PoolSettings[]) => readonly PodRoute[]) | undefined, CallerFault> {
  if (asked === undefined) return ok(undefined);
  if (asked.length > routesMost) return failed(callerFault("ipam.bad-request", `at most ${routesMost} routes can be asked for`));
  const read: { readonly destination: PodRoute["destination"]; readonly gateway: PodRoute["gateway"] | undefined }[] = [];
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
    read.push({ destination: prefix, gateway: via });
  }
  return ok((records, pools) =>
    read.flatMap(({ destination, gateway }) => {
      const own = records.find(({ address }) => familyOf(address) === prefixFamily(destination));
      if (own === undefined) return [];
      return [
        {
          destination,
          gateway:
            gateway ??
            gatewayOf(
              pools.find(({ name }) => name === own.pool),
              own.address,
            ),
        },
      ];
    }),
  );
}
