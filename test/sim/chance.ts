/** xorshift32: the only chance in a run. The seed is the bug report. Answers in [0, 1). */
export function chance(seed: number): () => number {
  let x = Math.imul(seed + 1, 0x9e37_79b1) | 1;
  return () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 0) / 2 ** 32;
  };
}
