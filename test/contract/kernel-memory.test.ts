import { describe } from "vitest";
import type { Ip } from "#base/ip.ts";
import { keyOf } from "#base/kernel-row.ts";
import type { Prefix } from "#base/prefix.ts";
import type { UnderlayPath } from "#base/underlay.ts";
import { MemoryKernel } from "../../src/adapters/memory-kernel.ts";
import { kernelContract } from "./kernel-contract.ts";

const path = (prefix: string, gateway?: string, local = false): UnderlayPath => ({
  prefix: prefix as Prefix,
  hops: local ? [] : [{ device: "eth0", gateway: gateway as Ip | undefined }],
  local,
  mtu: local ? 0 : 1500,
});

describe("the memory kernel keeps the Kernel contract", () => {
  kernelContract(async () => {
    const kernel = new MemoryKernel({
      paths: new Map(
        Object.entries({
          "10.0.0.2": path("10.0.0.0/24"),
          "10.9.8.7": path("10.9.0.0/16", "10.0.0.254"),
          "10.0.0.1": path("10.0.0.1/32", undefined, true),
          "fd00::9": path("fd00::/64"),
        }),
      ) as ReadonlyMap<string, UnderlayPath> as ReadonlyMap<Ip, UnderlayPath>,
      addresses: new Map([["10.0.0.1" as Ip, "eth0"]]),
      links: new Map([["eth0", { name: "eth0", kind: "veth", mtu: 1500, up: true, loopback: false }]]),
      advertised: [],
    });
    return {
      kernel,
      deleteLink: (name) => kernel.meddle("link", name, undefined),
      deleteRoute: (row) => kernel.meddle("route", keyOf.route(row), undefined),
      addForeignRoute: (prefix, metric) => kernel.addForeignRoute({ prefix: prefix as Prefix, metric, hops: [] }),
      hasForeignRoute: (prefix, metric) => kernel.foreignRoutes().some((row) => row.prefix === prefix && row.metric === metric),
      dispose: () => kernel.close(),
    };
  });
});
