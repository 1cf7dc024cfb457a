/** What a handover asks of the speaker it is about: one look at neighbours and RIB. */
import type { Facts, Handover, SessionFacts } from "./handover.ts";
import { coverageOf } from "./rib/coverage.ts";
import type { Speaker } from "./speaker.ts";

const nothing = { holds: 0, marked: 0, reflected: 0, uncovered: 0, uncoveredReflected: 0 } as const;

/** By name, for every session with a node. `reflecting`: names of the reflectors of the document. */
export function factsOf(speaker: Speaker, handover: Handover, reflecting: readonly string[]): Facts {
  const staying = handover.staying(),
    leaving = new Set(handover.leaving),
    reflectors = new Set(reflecting);
  const infos = speaker.neighbours.info().filter(({ name }) => staying.has(name) || leaving.has(name));
  const idsOf = (names: ReadonlySet<string>): Set<number> => new Set(infos.flatMap(({ name, id }) => (names.has(name) ? [id] : [])));
  // Every session that stays and is not with a reflector may be with one that was: what it reflects is looked at too.
  const found = coverageOf(
    speaker.rib,
    { staying: idsOf(staying), reflecting: idsOf(reflectors) },
    infos.map(({ id }) => id),
  );
  return new Map(
    infos.map(({ name, id }): [string, SessionFacts] => {
      const isUp = speaker.isUp(id);
      return [name, { ...(found.get(id) ?? nothing), isUp, isComplete: isUp && speaker.rib.hasToldAll(id) && speaker.rib.wasToldAll(id) }];
    }),
  );
}
