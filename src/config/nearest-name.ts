/** "did you mean": the known name a mistyped one is nearest to. */

const longest = 64;

/** The nearest of `known` within a third of the word's length (Damerau-Levenshtein), or undefined. First of equals. */
export function nearestName(word: string, known: Iterable<string>): string | undefined {
  if (word.length > longest) return undefined;
  let found: string | undefined,
    least = Math.max(1, Math.floor(word.length / 3)) + 1;
  for (const name of known) {
    const distance = Math.abs(name.length - word.length) >= least ? least : editDistance(word.toLowerCase(), name.toLowerCase());
    if (distance < least) [found, least] = [name, distance];
  }
  return found;
}

/** ` (there are a, b, c)`-like list, cut where it stops being helpful. */
export function listNames(names: Iterable<string>): string {
  const all = [...names];
  return all.length === 0 ? "none" : `${all.slice(0, 8).join(", ")}${all.length > 8 ? ` and ${all.length - 8} more` : ""}`;
}

/** Insertions, deletions, substitutions and swaps of neighbours (optimal string alignment). */
function editDistance(a: string, b: string): number {
  let before: number[] = [],
    last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let cost = Math.min(last[j]! + 1, row[j - 1]! + 1, last[j - 1]! + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) cost = Math.min(cost, before[j - 2]! + 1);
      row.push(cost);
    }
    [before, last] = [last, row];
  }
  return last[b.length]!;
}
