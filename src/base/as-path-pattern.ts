/**
 * Patterns over AS paths, in the manner of the field: `^65001 .* 65002$`, `_65010_`, `^$`, `(65001|65002)+`, `[64512-65534]`.
 * The letters are whole AS numbers: `65` is AS 65, `.` one AS of any number, and `_` or a space parts two numbers and says
 * nothing else. Without `^` (or `$`) anything may stand before (or behind). Text → tree; bgp/policy/as-path-automaton.ts runs it.
 */
import { failed, ok, type Outcome } from "./fault.ts";

export type AsPathNode =
  | { readonly kind: "one"; readonly low: number; readonly high: number }
  | { readonly kind: "sequence"; readonly parts: readonly AsPathNode[] }
  | { readonly kind: "choice"; readonly parts: readonly AsPathNode[] }
  /** `max` undefined: any number of times. */
  | { readonly kind: "repeat"; readonly part: AsPathNode; readonly min: number; readonly max: number | undefined };

/** What is wrong with a pattern, and at which character (from 0). */
export interface PatternFault {
  readonly text: string;
  readonly offset: number;
}

export const largestAs = 4_294_967_295;
/** Numbers of a pattern with its repetitions written out. */
const mostPlaces = 512;
const mostCharacters = 1024;
const mostDepth = 16;

const anyAs: AsPathNode = { kind: "one", low: 0, high: largestAs };
const anything: AsPathNode = { kind: "repeat", part: anyAs, min: 0, max: undefined };

/** The tree of a pattern that matches whole paths: what `^` and `$` leave open is part of it. */
export function parseAsPathPattern(text: string): Outcome<AsPathNode, PatternFault> {
  if (text.length > mostCharacters) return failed({ text: `a pattern has at most ${mostCharacters} characters; write several`, offset: 0 });
  const parser = new Parser(text);
  const parts: AsPathNode[] = [];
  do {
    const anchored = parser.takes("^"),
      body = parser.alternative(0);
    if (!body.ok) return body;
    const ended = parser.takes("$");
    parts.push({ kind: "sequence", parts: [...(anchored ? [] : [anything]), body.value, ...(ended ? [] : [anything])] });
  } while (parser.takes("|"));
  if (!parser.atEnd) return failed(parser.unexpected());
  const node: AsPathNode = parts.length === 1 ? parts[0]! : { kind: "choice", parts };
  if (placesOf(node) > mostPlaces) return failed({ text: `repetitions make it longer than ${mostPlaces} AS numbers; write a shorter pattern`, offset: 0 });
  return ok(node);
}

/** The pattern of paths that end with one of these AS numbers. */
export function originPattern(asns: readonly number[]): AsPathNode {
  return { kind: "sequence", parts: [anything, { kind: "choice", parts: asns.map((asn) => ({ kind: "one", low: asn, high: asn })) }] };
}

function placesOf(node: AsPathNode): number {
  switch (node.kind) {
    case "one":
      return 1;
    case "repeat":
      return placesOf(node.part) * Math.max(1, node.max ?? node.min + 1);
    default:
      return node.parts.reduce((sum, part) => sum + placesOf(part), 0);
  }
}

class Parser {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  get atEnd(): boolean {
    this.#skip();
    return this.#at === this.#text.length;
  }
  takes(sign: string): boolean {
    this.#skip();
    if (this.#text[this.#at] !== sign) return false;
    this.#at++;
    return true;
  }
  unexpected(): PatternFault {
    const sign = this.#text[this.#at];
    if (sign === undefined) return this.#fault("the pattern ends too early");
    if (sign === "^" || sign === "$") return this.#fault(`${sign} stands at the ${sign === "^" ? "beginning" : "end"} of a pattern only`);
    return this.#fault(`${JSON.stringify(sign)} does not belong here; a pattern has AS numbers, [low-high], . _ ^ $ ( | ) * + ? and {from,to}`);
  }

  /** A run of repeated atoms, possibly none. */
  alternative(depth: number): Outcome<AsPathNode, PatternFault> {
    const parts: AsPathNode[] = [];
    for (;;) {
      this.#skip();
      const sign = this.#text[this.#at];
      if (sign === undefined || !/[\d.([]/.test(sign)) return ok({ kind: "sequence", parts });
      const atom = this.#atom(sign, depth);
      if (!atom.ok) return atom;
      const repeated = this.#repetition(atom.value);
      if (!repeated.ok) return repeated;
      parts.push(repeated.value);
    }
  }

  #atom(sign: string, depth: number): Outcome<AsPathNode, PatternFault> {
    if (sign === ".") {
      this.#at++;
      return ok(anyAs);
    }
    if (sign === "(") return this.#group(depth + 1);
    if (sign === "[") return this.#range();
    const asn = this.#asn();
    return asn.ok ? ok({ kind: "one", low: asn.value, high: asn.value }) : asn;
  }

  #group(depth: number): Outcome<AsPathNode, PatternFault> {
    if (depth > mostDepth) return failed(this.#fault(`groups are nested more than ${mostDepth} deep`));
    this.#at++;
    const parts: AsPathNode[] = [];
    do {
      const part = this.alternative(depth);
      if (!part.ok) return part;
      parts.push(part.value);
    } while (this.takes("|"));
    return this.takes(")") ? ok({ kind: "choice", parts }) : failed(this.atEnd ? this.#fault("a ) is missing") : this.unexpected());
  }

  #range(): Outcome<AsPathNode, PatternFault> {
    const from = this.#at++;
    const low = this.#asn();
    if (!low.ok) return low;
    const high = this.takes("-") ? this.#asn() : low;
    if (!high.ok) return high;
    if (!this.takes("]")) return failed(this.#fault("a range of AS numbers is written [64512-65534]"));
    return low.value <= high.value ? ok({ kind: "one", low: low.value, high: high.value }) : failed({ text: "the range ends before it begins", offset: from });
  }

  #repetition(part: AsPathNode): Outcome<AsPathNode, PatternFault> {
    const sign = this.#text[this.#at];
    const known = sign === undefined ? undefined : { "*": { min: 0, max: undefined }, "+": { min: 1, max: undefined }, "?": { min: 0, max: 1 } }[sign];
    if (known) {
      this.#at++;
      return ok({ kind: "repeat", part, ...known });
    }
    if (sign !== "{") return ok(part);
    const counts = /^\{(\d{1,3})(,(\d{1,3})?)?\}/.exec(this.#text.slice(this.#at));
    if (!counts) return failed(this.#fault("a repetition is written {2}, {2,} or {2,5}"));
    const min = Number(counts[1]),
      max = counts[2] === undefined ? min : counts[3] === undefined ? undefined : Number(counts[3]);
    if (max !== undefined && (max < min || max === 0)) return failed(this.#fault("a repetition ends at 1 or more, and not before it begins"));
    this.#at += counts[0].length;
    return ok({ kind: "repeat", part, min, max });
  }

  #asn(): Outcome<number, PatternFault> {
    this.#skip();
    const digits = /^\d{1,10}/.exec(this.#text.slice(this.#at))?.[0];
    if (digits === undefined) return failed(this.#fault("an AS number is missing here"));
    if (Number(digits) > largestAs || /^\d/.test(this.#text.slice(this.#at + digits.length))) return failed(this.#fault(`AS numbers end at ${largestAs}`));
    this.#at += digits.length;
    return ok(Number(digits));
  }

  #skip(): void {
    while (this.#text[this.#at] === " " || this.#text[this.#at] === "_") this.#at++;
  }
  #fault(text: string): PatternFault {
    return { text, offset: Math.min(this.#at, Math.max(0, this.#text.length - 1)) };
  }
}
