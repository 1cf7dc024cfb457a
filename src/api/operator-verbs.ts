/** The rows of what an operator may have done (daemon/operator-control.ts): arguments are parameters, there is no body. */
import { type OperatorControl, operatorPaths } from "#daemon/operator-control.ts";
import { get, type Parameter, post, type Verb } from "./verb.ts";

const name: Parameter = { name: "name", about: "Name or address of the peer.", kind: "text", required: true };
const text: Parameter = { name: "text", about: "Why, for the operator of the other side (RFC 9003).", kind: "text" };
const node: Parameter = { name: "node", about: "Name of the node; the one that answers if left out.", kind: "text" };
const force: Parameter = { name: "force", about: "Also where it is refused for safety.", kind: "flag" };
const grace: Parameter = { name: "graceSeconds", about: "Neighbours have so long to take other paths; 10 if left out.", kind: { from: 0, to: 3600 } };
const by: Parameter = { name: "by", about: "Who asks for it, for the history.", kind: "text" };

type Values = Readonly<Record<string, string | number | boolean>>;
const word = (query: Values, key: string, otherwise = ""): string => String(query[key] ?? otherwise);
const isSet = (query: Values, key: string): boolean => query[key] === true;
/** An optional name as the interface wants it. */
const optional = (query: Values, key: "node" | "revision"): { readonly node?: string; readonly revision?: string } =>
  query[key] === undefined ? {} : { [key]: String(query[key]) };

const graceOf = (query: Values): { readonly graceSeconds?: number } =>
  typeof query["graceSeconds"] === "number" ? { graceSeconds: query["graceSeconds"] } : {};

const row = (
  path: string,
  about: string,
  query: readonly Parameter[],
  ask: (operator: OperatorControl, query: Values) => ReturnType<Verb["answer"]>,
): Verb => ({ ...post(path, "Done", about, (control, asked) => ask(control.operator, asked.query)), query });

export const operatorVerbs: readonly Verb[] = [
  row(operatorPaths.confirm, "Keeps what an apply with confirmSeconds put into force.", [], (operator) => operator.confirm()),
  get(operatorPaths.history, "History", "Documents of before, newest first.", (control) => control.operator.history()),
  {
    ...post(operatorPaths.rollback, "Applied", "Puts a former document into force.", ({ operator }, { query }) =>
      operator.rollback({ by: word(query, "by", "unknown"), ...optional(query, "revision") }),
    ),
    query: [{ name: "revision", about: "As the history names it; what was before if left out.", kind: "text" }, by],
  },
  row(
    operatorPaths.resetPeer,
    "Ends a session, which comes back by itself.",
    [name, { name: "hard", about: "Neither side keeps routes meanwhile (RFC 8538).", kind: "flag" }, text],
    (operator, query) => operator.resetPeer({ name: word(query, "name"), hard: isSet(query, "hard"), text: word(query, "text") }),
  ),
  row(
    operatorPaths.refreshPeer,
    "Has routes told again (RFC 2918).",
    [name, { name: "direction", about: "in: the peer tells, out: it is told; in if left out.", kind: ["in", "out"] }],
    (operator, query) => operator.refreshPeer({ name: word(query, "name"), direction: query["direction"] === "out" ? "out" : "in" }),
  ),
  row(operatorPaths.shutdownPeer, "Keeps a peer down until it is enabled, also over restarts.", [name, text], (operator, query) =>
    operator.shutdownPeer({ name: word(query, "name"), text: word(query, "text") }),
  ),
  row(operatorPaths.enablePeer, "Ends a shutdown.", [name], (operator, query) => operator.enablePeer({ name: word(query, "name") })),
  row(
    operatorPaths.drain,
    "Takes a node out of service: graceful shutdown (RFC 8326), then its sessions end.",
    [node, force, text, by, grace],
    (operator, query) =>
      operator.drain({
        force: isSet(query, "force"),
        text: word(query, "text"),
        by: word(query, "by", "unknown"),
        ...optional(query, "node"),
        ...graceOf(query),
      }),
  ),
  row(operatorPaths.undrain, "Puts a node into service again.", [node], (operator, query) => operator.undrain(optional(query, "node"))),
  row(operatorPaths.evict, "Frees what a dead node holds.", [{ ...node, required: true }, force], (operator, query) =>
    operator.evict({ node: word(query, "node"), force: isSet(query, "force") }),
  ),
  row(operatorPaths.leave, "Ends this daemon for good: sessions hard, CIDRs freed.", [], (operator) => operator.leave()),
];
