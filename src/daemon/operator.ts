/** The operator's verbs, carried out: what is refused, what is done, and the sentence that says so. */
import { type CallerFault, callerFault, failed, FaultError, ok, type Outcome } from "#base/fault.ts";
import { parseIp } from "#base/ip.ts";
import type { NodeSettings } from "#base/settings.ts";
import type { NeighbourInfo } from "#bgp/neighbours.ts";
import type { Store } from "#ports/store.ts";
import type { Bgp } from "./bgp-task.ts";
import type { DocumentKeeper } from "./document.ts";
import { defaultGraceSeconds, type DrainKeeper } from "./drain-keeper.ts";
import { keptUntil } from "./address-evict.ts";
import { evictNode } from "./lease-evict.ts";
import type { DoneView, HistoryView, OperatorControl } from "./operator-control.ts";
import type { PeerSwitches } from "./peer-switches.ts";

export interface OperatorParts {
  readonly keeper: DocumentKeeper;
  readonly bgp: Bgp;
  readonly store: Store | undefined;
  readonly drains: DrainKeeper;
  readonly switches: PeerSwitches;
  readonly running: () => NodeSettings;
  readonly alive: () => ReadonlySet<string>;
  /** Ends this daemon for good. */
  readonly leave: () => void;
}

type Done = Outcome<DoneView, CallerFault>;

const done = (text: string, ...details: readonly string[]): Done => ok({ text, details });
const refused = (code: string, text: string): Done => failed(callerFault(code, text));

export function createOperator(parts: OperatorParts): OperatorControl {
  const { keeper, bgp } = parts,
    { desk } = keeper;
  return {
    async confirm() {
      const kept = await desk.confirm();
      return kept.ok ? done(kept.value === "file" ? "the document on trial is kept, and stands in the file" : `revision ${kept.value} is kept`) : kept;
    },
    history: () => history(parts),
    async rollback({ revision, by }) {
      if (revision === undefined) return desk.rollback(undefined, by);
      if (!/^\d{1,19}$/.test(revision))
        return failed(callerFault("api.bad-request", `${JSON.stringify(revision)} is no revision: \`podway history\` lists them.`));
      return desk.rollback(BigInt(revision), by);
    },
    resetPeer: ({ name, hard, text }) =>
      withPeer(parts, name, (peer) => {
        if (peer.state === "Idle" && parts.switches.has(peer.name))
          return refused("api.peer-shut-down", `${peer.name} is shut down: \`podway peers enable ${peer.name}\`.`);
        bgp.driver.operate((speaker, now) => speaker.reset(peer.name, { text: text || "reset by an operator", hard }, now));
        return done(`${peer.name} is reset${hard ? ", and neither side keeps the other's routes" : ""}: it was ${peer.state}`);
      }),
    refreshPeer: ({ name, direction }) => withPeer(parts, name, (peer) => refresh(parts, peer, direction)),
    async shutdownPeer({ name, text }) {
      return withPeer(parts, name, (peer) => shutDown(parts, peer, text));
    },
    async enablePeer({ name }) {
      const { switches } = parts;
      if (!switches.has(name))
        return withPeer(parts, name, (peer) => (switches.has(peer.name) ? enable(parts, peer.name) : done(`${peer.name} was not shut down`)));
      return enable(parts, name);
    },
    drain: (request) => drain(parts, request),
    async undrain({ node = parts.running().node }) {
      if (!parts.drains.isDrained(node)) return refused("drain.not-drained", `node ${node} is not drained.`);
      return asked(async () => {
        await parts.drains.set(node, undefined);
        return done(`node ${node} is in service again`);
      });
    },
    evict: (request) => evict(parts, request),
    async leave() {
      parts.leave();
      return done("this daemon withdraws its routes, ends its sessions, frees its CIDRs and stops");
    },
  };
}

async function history({ keeper }: OperatorParts): Promise<Outcome<HistoryView, CallerFault>> {
  const known = await keeper.desk.history();
  if (!known.ok) return known;
  const { entries, pending } = known.value,
    rules = keeper.view().revision;
  const revisions = entries.map(({ revision, at, by, node, how, changes, more }) => {
    const number = String(revision);
    return { revision: number, at: new Date(at).toISOString(), by, node, how, rules: number === rules, changes, more };
  });
  const waits = pending && { revision: String(pending.trial.revision), by: pending.trial.by, secondsLeft: pending.secondsLeft };
  return ok({ pending: waits ?? null, revisions });
}

function withPeer<T extends Done | Promise<Done>>({ bgp }: OperatorParts, name: string, act: (peer: NeighbourInfo) => T): T | Done {
  const peer = bgp.speaker.neighbours.info().find((info) => info.name === name || info.address === parseIp(name));
  return peer ? act(peer) : refused("api.no-such-peer", `there is no peer ${JSON.stringify(name)}; \`podway peers\` lists them.`);
}

function refresh({ bgp }: OperatorParts, peer: NeighbourInfo, direction: "in" | "out"): Done {
  if (peer.state !== "Established") return refused("api.peer-not-established", `${peer.name} is ${peer.state}, so there is nothing to refresh: ${peer.reason}`);
  const isDone = bgp.driver.operate((speaker, now) => speaker.refresh(peer.id, direction, now));
  if (!isDone)
    return refused("api.no-route-refresh", `${peer.name} cannot be asked again (no route refresh, RFC 2918): \`podway peers reset ${peer.name}\` instead.`);
  return done(direction === "in" ? `${peer.name} is asked for its routes again` : `${peer.name} is told its routes again`);
}

async function shutDown({ switches }: OperatorParts, peer: NeighbourInfo, text: string): Promise<Done> {
  if (switches.isFull) return refused("api.too-many-shut-down", "too many peers are shut down one by one: `podway drain` takes the whole node out of service.");
  const enabling = `\`podway peers enable ${peer.name}\` ends it`;
  try {
    await switches.shutDown(peer.name, text);
    return done(`${peer.name} is shut down, also after restarts; ${enabling}`);
  } catch (cause) {
    return done(`${peer.name} is shut down until this daemon restarts; ${enabling}`, `that cannot be written down: ${(cause as Error).message}`);
  }
}

async function enable({ switches }: OperatorParts, name: string): Promise<Done> {
  try {
    await switches.enable(name);
    return done(`${name} is enabled`);
  } catch (cause) {
    return done(`${name} is enabled until this daemon restarts`, `that cannot be written down: ${(cause as Error).message}`);
  }
}

async function drain(parts: OperatorParts, request: Parameters<OperatorControl["drain"]>[0]): Promise<Done> {
  const { node = parts.running().node, force, text, by, graceSeconds = defaultGraceSeconds } = request,
    { nodes } = parts.keeper.settings;
  if (!Object.hasOwn(nodes, node))
    return refused("api.no-such-node", `the document declares no node ${JSON.stringify(node)}; \`podway status --cluster\` lists them.`);
  if (!parts.store && node !== parts.running().node)
    return refused("drain.no-store", `without a store only this node can be drained from here: run \`podway drain --self\` on ${node}.`);
  if (parts.drains.isDrained(node)) return done(`node ${node} is drained already`);
  const alive = parts.alive();
  const serving = Object.keys(nodes).filter(
    (name) => isReflector(nodes, name) && name !== node && !parts.drains.isDrained(name) && (alive.size === 0 || alive.has(name)),
  );
  if (isReflector(nodes, node) && serving.length === 0 && !force)
    return refused(
      "drain.last-reflector",
      `${node} is the last reflector in service, and without one no node learns routes: undrain or start another first, or use --force.`,
    );
  return asked(async () => {
    await parts.drains.set(node, { by, text, graceSeconds });
    return done(`node ${node} is drained: neighbours are asked to prefer other paths, then its sessions end; \`podway undrain ${node}\` ends it`);
  });
}

const isReflector = (nodes: NodeSettings["nodes"], name: string): boolean => nodes[name]!.roles.includes("reflector");

async function evict(parts: OperatorParts, { node, force }: { readonly node: string; readonly force: boolean }): Promise<Done> {
  const { store, running } = parts;
  if (!store) return refused("lease.no-store", "this node has no store, so nobody holds a CIDR in it.");
  return asked(async () => {
    const settings = running(),
      until = keptUntil(settings, Date.now() / 1000);
    const evicted = await evictNode(store, { node, isForced: force, quarantineSeconds: settings.lease.quarantineSeconds, keptUntil: until });
    if (!evicted.ok) return evicted;
    const { freed, kept } = evicted.value;
    const lines = [
      ...freed.map(({ pool, cidr }) => `${cidr} of pool ${pool} is free`),
      ...kept.map(({ pool, cidr }) => `${cidr} of pool ${pool} is a reservation and stays`),
    ];
    return done(`node ${node} holds ${freed.length === 0 ? "nothing that could be freed" : "no lease any more"}`, ...lines);
  });
}

/** What the store does not answer is a fault of the request. */
async function asked(ask: () => Promise<Done>): Promise<Done> {
  try {
    return await ask();
  } catch (cause) {
    if (cause instanceof FaultError)
      return refused("store.away", `the store did not answer, so look whether it was done before you try again: ${cause.fault.text}`);
    throw cause;
  }
}
