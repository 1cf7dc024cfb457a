/** What a row of the table of verbs is. */
import type { Outcome } from "#base/fault.ts";
import type { Control } from "#daemon/control.ts";
import type { schemas } from "./schemas.ts";

export interface Parameter {
  readonly name: string;
  readonly about: string;
  readonly required?: true;
  readonly kind: "text" | "flag" | { readonly from: number; readonly to: number } | readonly string[];
}

/** A request whose parameters and body have passed the checks of its row. */
export interface Asked {
  readonly query: Readonly<Record<string, string | number | boolean>>;
  readonly proposal: Proposal | undefined;
  /** As the row's `takes` has it. */
  readonly body?: Readonly<Record<string, unknown>>;
}
export interface Proposal {
  readonly text: string;
  readonly file: string;
}

/** Fields of a body by name, each with its JSON Schema; `required` ones must be there. */
export type Fields = Readonly<Record<string, Field>>;
export interface Field {
  readonly schema: "text" | "texts" | "flag" | "count" | "words" | "keys" | "routes" | "ports" | "counts";
  readonly about: string;
  readonly required?: true;
}

type Answer = Outcome<unknown>;

export interface Verb {
  readonly method: "get" | "post" | "delete";
  readonly path: string;
  readonly about: string;
  readonly query: readonly Parameter[];
  readonly schema: keyof typeof schemas;
  /** Takes a document as its body. */
  readonly takesDocument?: true;
  /** Takes a JSON object with these fields as its body. */
  readonly takes?: Fields;
  answer(control: Control, asked: Asked): Answer | Promise<Answer>;
}

export const get = (path: string, schema: Verb["schema"], about: string, answer: Verb["answer"]): Verb => ({
  method: "get",
  path,
  schema,
  about,
  query: [],
  answer,
});
export const post = (path: string, schema: Verb["schema"], about: string, answer: Verb["answer"]): Verb => ({
  method: "post",
  path,
  schema,
  about,
  query: [],
  answer,
});
