/** What the schema cannot say: whether the parts of a document agree with each other. Every finding says what to do. */
import { checkNodes, checkReflection } from "./check-nodes.ts";
import { checkPeers } from "./check-peers.ts";
import { checkPolicies } from "./check-policies.ts";
import { checkPools } from "./check-pools.ts";
import { checkLease, checkStore } from "./check-store.ts";
import { declaredNodes } from "./declared-node.ts";
import { labProblems } from "./lab-schema.ts";
import { type Finding, wrong } from "./problem.ts";
import type { Document } from "./schema.ts";

/** Everything about `document` that does not hold together; errors refuse it, warnings are shown. */
export function checkDocument(document: Document): readonly Finding[] {
  const nodes = declaredNodes(document);
  return [
    ...checkStore(document, nodes),
    ...checkLease(document),
    ...checkNodes(nodes),
    ...checkReflection(document, nodes),
    ...checkPools(document, nodes),
    ...checkPeers(document, nodes),
    ...checkPolicies(document),
    ...checkLab(document),
  ];
}

function checkLab(document: Document): readonly Finding[] {
  if (document.lab === undefined) return [];
  const context = { nodes: Object.keys(document.nodes), pools: document.pools.map((pool) => pool.name) };
  return labProblems(document.lab, context).map((problem) => wrong(problem.path, problem.text));
}
