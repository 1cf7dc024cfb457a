/** Policies for the doors: what their rules decided, and a dry run of other ones over the routes that are there. */
import { setImmediate as nextTurn } from "node:timers/promises";
import { callerFault, type CallerFault, failed, ok, type Outcome } from "#base/fault.ts";
import type { NodeSettings, SessionSettings } from "#base/settings.ts";
import { compareJudgements, type Judgement, PolicyTrial } from "#bgp/policy/trial.ts";
import type { NeighbourInfo } from "#bgp/neighbours.ts";
import type { Speaker } from "#bgp/speaker.ts";
import type { PolicyTrialQuery, PolicyTrialView, PolicyView } from "./control.ts";
import { interpret } from "./document-text.ts";

/** Routes judged before other work gets its turn. */
const slice = 2048;
const usualLimit = 50;

export function viewPolicies(speaker: Speaker, { policies, peers, ranges }: NodeSettings): readonly PolicyView[] {
  const hits = speaker.rib.policies.hits();
  return Object.entries(policies).map(([name, policy]) => {
    const of = (way: "import" | "export") => hits.find((one) => one.policy === name && one.way === way);
    const imported = of("import"),
      exported = of("export");
    const users = (way: "import" | "export"): string[] => [...peers, ...ranges].filter((one) => one[way].includes(name)).map((one) => one.name);
    return {
      name,
      rules: policy.rules.map((rule, i) => ({
        name: rule.name ?? null,
        then: rule.then,
        imported: imported?.rules[i] ?? 0,
        exported: exported?.rules[i] ?? 0,
      })),
      otherwise: { then: policy.otherwise, imported: imported?.otherwise ?? 0, exported: exported?.otherwise ?? 0 },
      importOf: users("import"),
      exportTo: users("export"),
    };
  });
}

interface Pair {
  readonly info: NeighbourInfo;
  readonly after: SessionSettings;
}

/** Judges what is there by the policies in force and by those of the document; nothing is told, kept or counted. */
export async function tryPolicies(
  speaker: Speaker,
  running: NodeSettings,
  document: { readonly text: string; readonly file: string },
  query: PolicyTrialQuery,
): Promise<Outcome<PolicyTrialView, CallerFault>> {
  const next = interpret(document.text, document.file, running.node);
  if (!next.ok) return next;
  const { settings } = next.value,
    limit = query.limit ?? usualLimit;
  const pairs = pairsOf(speaker, settings, query.peer);
  if (!pairs.ok) return pairs;
  const counts = { import: { ...nothing }, export: { ...nothing } },
    routes: PolicyTrialView["routes"][number][] = [];
  let notJudged = 0;
  for (const { info, after } of pairs.value)
    for (const way of query.direction ? [query.direction] : (["import", "export"] as const)) {
      if (way === "import") notJudged += speaker.rib.refusedOf(info.id);
      const trial = new PolicyTrial(
        speaker.rib,
        info.id,
        way,
        { policies: running.policies, session: info.settings },
        { policies: settings.policies, session: after },
      );
      const take = (judgement: Judgement): void => {
        const count = counts[way];
        count.judged++;
        if (!judgement.differs) return;
        const { before, after: then } = judgement;
        count[before === 0 ? "accepted" : then === 0 ? "rejected" : "changed"]++;
        if (routes.length < limit)
          routes.push({ direction: way, peer: info.name, prefix: judgement.prefix(), ...compareJudgements(speaker.rib.attributes, judgement) });
      };
      try {
        while (trial.step(slice, take)) await nextTurn();
      } finally {
        trial.close();
      }
    }
  return ok({ ...counts, notJudged, routes });
}

const nothing = { judged: 0, accepted: 0, rejected: 0, changed: 0 };

/** Sessions that are up, with what the other document says of the same neighbour; one that it does not name is not judged. */
function pairsOf(speaker: Speaker, settings: NodeSettings, name: string | undefined): Outcome<readonly Pair[], CallerFault> {
  const chosen = speaker.neighbours.info().filter((info) => name === undefined || info.name === name || info.address === name || info.range === name);
  if (name !== undefined && chosen.length === 0)
    return failed(callerFault("api.no-such-peer", `there is no peer named ${JSON.stringify(name)}: podway peers lists them.`));
  return ok(
    chosen.flatMap((info) => {
      const after = info.dynamic ? settings.ranges.find((range) => range.name === info.range) : settings.peers.find((peer) => peer.name === info.name);
      return info.state === "Established" && after ? [{ info, after }] : [];
    }),
  );
}
