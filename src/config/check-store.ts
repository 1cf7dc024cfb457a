/** Whether the store can serve the nodes, and a claim's times fit each other. */
import type { DeclaredNode } from "./declared-node.ts";
import { type Finding, wrong } from "./problem.ts";
import type { Document } from "./schema.ts";

export function* checkStore(document: Document, nodes: readonly DeclaredNode[]): Iterable<Finding> {
  const { store, pools } = document;
  const leasing = nodes.filter((node) => node.isNode).length;
  if (store === "none") {
    if (pools.length > 0 && leasing > 0)
      yield wrong(["store"], "pools are leased from a store, and there is none; write { etcd: { endpoints: [...] } }, or embedded for one machine");
  } else if (store === undefined || store === "embedded") {
    if (pools.length > 0 && leasing > 1)
      yield wrong(["store"], `an embedded store serves one machine, and ${leasing} nodes lease from these pools; write store: { etcd: { endpoints: [...] } }`);
  } else yield* checkEtcd(store.etcd);
}

function* checkEtcd(etcd: Extract<Document["store"], { etcd: unknown }>["etcd"]): Iterable<Finding> {
  const path = ["store", "etcd"];
  const plain = etcd.endpoints.findIndex((endpoint) => endpoint.startsWith("http:"));
  const mixed = plain >= 0 && etcd.endpoints.some((endpoint) => endpoint.startsWith("https:"));
  if (plain >= 0 && (etcd.tls !== undefined || mixed))
    yield wrong([...path, "endpoints", plain], "is http, and tls or another endpoint asks for https; write https for all");
  if ((etcd.tls?.cert === undefined) !== (etcd.tls?.key === undefined)) yield wrong([...path, "tls"], "a client certificate takes both cert and key");
  if ((etcd.username === undefined) !== (etcd.password === undefined)) yield wrong(path, "an etcd user takes both username and password", "key");
}

export function* checkLease(document: Document): Iterable<Finding> {
  const { hold, liveness } = document.lease;
  if (liveness >= hold) yield wrong(["lease", "liveness"], `is ${liveness} s, and a claim is held for ${hold} s; presence ends first, so write less than hold`);
}
