/** Messages the fuzzer stopped at, each with what was wrong then; peers are numbered as in messages.ts. */
export interface Found {
  readonly what: string;
  readonly peer: number;
  readonly hex: string;
}

export const found: readonly Found[] = [
  {
    what: "an OPEN whose capabilities come in another order than ours is written as the same OPEN",
    peer: 5,
    hex:
      "ffffffffffffffffffffffffffffffff006d0104fc5b005a0a00000350024e410400010001010400020001020005060001000100020600090103400a40780001018000" +
      "02018041040000fc5b45080001010300020103bf00470e00010100a80e1000020100000e104b03016100",
  },
];
