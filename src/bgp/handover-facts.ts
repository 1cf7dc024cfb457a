/** What a handover asks of the speaker it is about: one look at neighbours and RIB. */
import type { Facts, Handover, SessionFacts } from "./handover.ts";
import { coverageOf } from "./rib/coverage.ts";
import type { Speaker } from "./speaker.ts";

const nothing = { holds: 0, marked: 0, reflected: 0, uncovered: 0, uncoveredReflected: 0 } as const;

/** By name, for every session with a node. `reflecting`: names of the reflectors of the document. */
export function factsOf(speaker: Speaker, handover: Handover, reflecting: readonly string[]): Facts {
  const nodes = handover.staying(),
    leaving = new Set(handover.leaving),
    reflectors = new Set(reflecting);
  const all = speaker.neighbours.info(),
    infos = all.filter(({ name }) => nodes.has(name) || leaving.has(name));
  // Who is no node stays too: what a router tells us, we do not need by way of a node. And every session that stays and is not with
  // a reflector may be with one that was: what it reflects is looked at as well.
  const staying = all.filter(({ name }) => !leaving.has(name)),
    reflects = staying.filter(({ name }) => !nodes.has(name) || reflectors.has(name));
  const found = coverageOf(
    speaker.rib,
    { staying: new Set(staying.map(({ id }) => id)), reflecting: new Set(reflects.map(({ id }) => id)) },
    infos.map(({ id }) => id),
  );
  return new Map(
    infos.map(({ name, id }): [string, SessionFacts] => {
      const isUp = speaker.isUp(id);
      return [name, { ...(found.get(id) ?? nothing), isUp, isComplete: isUp && speaker.rib.hasToldAll(id) && speaker.rib.wasToldAll(id) }];
    }),
  );
}
