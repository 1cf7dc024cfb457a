/** What a rule makes of the attributes it accepts, on values: once for each attribute set. */
import type { CommunityChange, CommunityMatch, NumberChange, PolicyChanges } from "#base/policy-settings.ts";
import { prependAs } from "#wire/bgp/as-path.ts";
import type { PathAttributes } from "#wire/bgp/attribute.ts";
import { defaultLocalPref } from "../rib/scan.ts";

type Draft = { -readonly [K in keyof PathAttributes]: PathAttributes[K] };
const largest = 4_294_967_295;

/** All but the next hop and the weight, which are not among the values. */
export function changeAttributes(values: PathAttributes, set: PolicyChanges, ownAs: number): PathAttributes {
  const draft: Draft = { ...values };
  if (set.localPref) draft.localPref = numberAfter(set.localPref, values.localPref ?? defaultLocalPref);
  if (set.med === "remove") delete draft.med;
  else if (set.med) draft.med = numberAfter(set.med, values.med ?? 0);
  if (set.prepend) draft.asPath = prependAs(values.asPath ?? [], set.prepend.asn ?? ownAs, set.prepend.times);
  if (set.communities) put(draft, "communities", changed(wordsOf(values.communities, 1), set.communities), (words) => Uint32Array.from(words.flat()));
  if (set.largeCommunities)
    put(draft, "largeCommunities", changed(wordsOf(values.largeCommunities, 3), set.largeCommunities), (words) => Uint32Array.from(words.flat()));
  if (set.extendedCommunities)
    put(draft, "extendedCommunities", changed(wordPairs(values.extendedCommunities), set.extendedCommunities), (pairs) =>
      Uint8Array.from(pairs.flat().flatMap((word) => [word >>> 24, (word >>> 16) & 255, (word >>> 8) & 255, word & 255])),
    );
  return draft;
}

function numberAfter(change: NumberChange, before: number): number {
  return "to" in change ? change.to : Math.min(largest, Math.max(0, before + change.by));
}

type Words = readonly number[];
type ListKey = "communities" | "extendedCommunities" | "largeCommunities";

/** An empty list is no attribute at all. */
function put<K extends ListKey>(draft: Draft, key: K, words: readonly Words[], pack: (words: readonly Words[]) => NonNullable<Draft[K]>): void {
  if (words.length === 0) delete draft[key];
  else draft[key] = pack(words);
}

/** Each once and in order, so that equal sets are equal octets. */
function changed(before: readonly Words[], { replace, remove = [], add = [] }: CommunityChange): readonly Words[] {
  const kept = (replace ?? before).filter((words) => !remove.some((match) => isMatch(words, match)));
  const byText = new Map([...kept, ...add].map((words) => [words.join(":"), words]));
  return [...byText.values()].toSorted((a, b) => a.map((word, i) => word - b[i]!).find((difference) => difference !== 0) ?? 0);
}

export function isMatch(words: Words, { value, mask }: CommunityMatch): boolean {
  return words.every((word, i) => ((word ^ value[i]!) & mask[i]!) === 0);
}

function wordsOf(list: Uint32Array | undefined, width: 1 | 3): readonly Words[] {
  return Array.from({ length: (list?.length ?? 0) / width }, (_, i) => [...list!.subarray(i * width, (i + 1) * width)]);
}

function wordPairs(list: Uint8Array | undefined): readonly Words[] {
  const view = list && new DataView(list.buffer, list.byteOffset, list.length);
  return Array.from({ length: (list?.length ?? 0) / 8 }, (_, i) => [view!.getUint32(8 * i), view!.getUint32(8 * i + 4)]);
}
