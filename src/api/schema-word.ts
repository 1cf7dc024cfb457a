/** Words of JSON Schema that the descriptions of views are made of. */
export type Schema = { readonly [keyword: string]: unknown };

export const text: Schema = { type: "string" };
export const flag: Schema = { type: "boolean" };
export const count: Schema = { type: "integer", minimum: 0 };
export const asn: Schema = { type: "integer", minimum: 1, maximum: 4_294_967_295 };
export const number: Schema = { type: "number" };
export const list = (items: Schema): Schema => ({ type: "array", items });
export const orNull = (schema: Schema): Schema => ({ anyOf: [schema, { type: "null" }] });
export const choice = (...values: readonly string[]): Schema => ({ type: "string", enum: values });
export const said = (description: string, schema: Schema): Schema => ({ ...schema, description });
export const reference = (name: string): Schema => ({ $ref: `#/components/schemas/${name}` });

/** An object with exactly the properties of the view `T`. */
export function view<T>(properties: { readonly [Name in keyof Required<T>]: Schema }): Schema {
  return { type: "object", properties, required: Object.keys(properties), additionalProperties: false };
}
