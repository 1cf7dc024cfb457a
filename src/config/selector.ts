/**
 * Selectors over a node's labels (product §6.12): `rack == 'a' && !has(gpu)`. Operators `==`, `!=`, `in {…}`, `has()`, `!`,
 * `&&`, `||` in rising order of looseness, and parentheses. A missing label equals nothing, so `!=` holds for it.
 */
import { type Outcome, failed, ok } from "#base/fault.ts";

export type Selector = (labels: ReadonlyMap<string, readonly string[]>) => boolean;
export interface SelectorFault {
  /** Counted from 1, in characters of the selector. */
  readonly column: number;
  readonly text: string;
}

interface Token {
  readonly kind: "name" | "text" | "sign" | "end";
  readonly text: string;
  readonly column: number;
}

const depthLimit = 32;
const tokenPattern = /\s*(?:(?<name>[A-Za-z0-9][A-Za-z0-9_./-]*)|'(?<single>[^']*)'|"(?<double>[^"]*)"|(?<sign>==|!=|&&|\|\||[!(){},]))/y;

/** A function over labels (each with one or more values), or where and why the text is no selector. */
export function parseSelector(text: string): Outcome<Selector, SelectorFault> {
  const tokens = readTokens(text);
  if (!tokens.ok) return tokens;
  const parser = new Parser(tokens.value);
  const selector = parser.either(0);
  const left = parser.peek();
  if (selector !== undefined && parser.fault === undefined && left.kind !== "end") parser.refuse(left, "expected && or || here");
  return selector === undefined || parser.fault !== undefined ? failed(parser.fault!) : ok(selector);
}

function readTokens(text: string): Outcome<readonly Token[], SelectorFault> {
  const tokens: Token[] = [];
  let at = 0;
  while (text.slice(at).trim() !== "") {
    tokenPattern.lastIndex = at;
    const match = tokenPattern.exec(text);
    const column = at + text.slice(at).search(/\S/) + 1;
    if (match === null) return failed({ column, text: unreadable(text, column) });
    const { name, single, double, sign } = match.groups!;
    const string = single ?? double;
    tokens.push({ kind: name !== undefined ? "name" : string !== undefined ? "text" : "sign", text: name ?? string ?? sign!, column });
    at = tokenPattern.lastIndex;
  }
  tokens.push({ kind: "end", text: "", column: text.length + 1 });
  return ok(tokens);
}

function unreadable(text: string, column: number): string {
  const character = text[column - 1]!;
  const where = `at column ${column} of the selector`;
  if (character === "'" || character === '"') return `${where} a quote is not closed; write 'a'`;
  if (character === "=") return `${where} a single = means nothing; write ==`;
  if (character === "&" || character === "|") return `${where} a single ${character} means nothing; write ${character}${character}`;
  return `${where} ${JSON.stringify(character)} means nothing; a selector is made of label names, 'values', ==, !=, in {…}, has(…), !, &&, || and parentheses`;
}

/** Recursive descent, one method per level; the first fault is kept and ends the descent. */
class Parser {
  readonly #tokens: readonly Token[];
  #at = 0;
  fault: SelectorFault | undefined;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  peek(): Token {
    return this.#tokens[this.#at]!;
  }

  refuse(token: Token, text: string): undefined {
    this.fault ??= { column: token.column, text: `at column ${token.column} of the selector: ${text}` };
    return undefined;
  }

  either(depth: number): Selector | undefined {
    return this.#chain(
      "||",
      () => this.#both(depth),
      (terms) => (labels) => terms.some((term) => term(labels)),
    );
  }

  #both(depth: number): Selector | undefined {
    return this.#chain(
      "&&",
      () => this.#not(depth),
      (terms) => (labels) => terms.every((term) => term(labels)),
    );
  }

  #chain(sign: string, next: () => Selector | undefined, join: (terms: readonly Selector[]) => Selector): Selector | undefined {
    const terms: Selector[] = [];
    do {
      const term = next();
      if (term === undefined) return undefined;
      terms.push(term);
    } while (this.#took(sign));
    return terms.length === 1 ? terms[0] : join(terms);
  }

  #not(depth: number): Selector | undefined {
    if (depth > depthLimit) return this.refuse(this.peek(), `more than ${depthLimit} levels of parentheses and !`);
    if (this.#took("!")) {
      const term = this.#not(depth + 1);
      return term && ((labels) => !term(labels));
    }
    if (!this.#took("(")) return this.#test();
    const inner = this.either(depth + 1);
    return inner && this.#expect(")") ? inner : undefined;
  }

  #test(): Selector | undefined {
    const name = this.#next();
    if (name.kind !== "name")
      return this.refuse(name, name.kind === "text" ? "a label name stands without quotes, before its 'value'" : "expected a label name, has(NAME), ! or (");
    if (name.text === "has" && this.peek().text === "(") return this.#has();
    const operator = this.#next();
    if (operator.text === "in" && operator.kind === "name") return this.#in(name.text);
    if (operator.kind !== "sign" || (operator.text !== "==" && operator.text !== "!="))
      return this.refuse(operator, `expected ==, != or in after ${name.text}`);
    const value = this.#value();
    if (value === undefined) return undefined;
    const wanted = operator.text === "==";
    return (labels) => (labels.get(name.text) ?? []).includes(value) === wanted;
  }

  #has(): Selector | undefined {
    this.#next();
    const name = this.#next();
    if (name.kind !== "name") return this.refuse(name, "expected a label name in has(…), without quotes");
    return this.#expect(")") ? (labels) => labels.has(name.text) : undefined;
  }

  #in(name: string): Selector | undefined {
    if (!this.#expect("{")) return undefined;
    const values: string[] = [];
    do {
      const value = this.#value();
      if (value === undefined) return undefined;
      values.push(value);
    } while (this.#took(","));
    return this.#expect("}") ? (labels) => (labels.get(name) ?? []).some((value) => values.includes(value)) : undefined;
  }

  #value(): string | undefined {
    const token = this.#next();
    return token.kind === "text" ? token.text : this.refuse(token, `expected a value in quotes${token.kind === "name" ? `; write '${token.text}'` : ""}`);
  }

  #expect(sign: string): boolean {
    if (this.#took(sign)) return true;
    this.refuse(this.peek(), `expected ${sign}`);
    return false;
  }

  #took(sign: string): boolean {
    const token = this.peek();
    if (token.kind !== "sign" || token.text !== sign) return false;
    this.#at++;
    return true;
  }

  #next(): Token {
    const token = this.peek();
    if (token.kind !== "end") this.#at++;
    return token;
  }
}
