/**
 * Changes to messages, all out of one source of chance. Those that know the form of an UPDATE keep its lengths right and so reach
 * what stands behind them; the others spoil single octets and lengths.
 */
import { headerLength, messageType } from "#wire/bgp/constants.ts";

export type Chance = () => number;

export const below = (random: Chance, end: number): number => Math.floor(random() * end);
export const pick = <T>(random: Chance, from: readonly T[]): T => from[below(random, from.length)]!;

interface Attribute {
  flags: number;
  type: number;
  value: Uint8Array;
}
interface Parts {
  withdrawn: Uint8Array;
  attributes: Attribute[];
  nlri: Uint8Array;
}

const types = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 14, 15, 16, 17, 18, 22, 26, 32, 35, 40, 99, 128, 255];
const flagOctets = [0x40, 0x80, 0xc0, 0xe0, 0x00, 0x50, 0x90, 0xd0, 0x60, 0xa0];
const corners = [0, 1, 2, 3, 4, 5, 16, 24, 31, 32, 33, 63, 64, 127, 128, 129, 254, 255];
const mostOctets = 4096;

/** One message out of `corpus`, with none to five changes. */
export function mutated(random: Chance, corpus: readonly Uint8Array[]): Uint8Array {
  let bytes: Uint8Array = pick(random, corpus).slice();
  for (let times = below(random, 6); times > 0; times--) {
    const isUpdate = bytes.length >= headerLength + 4 && bytes[18] === messageType.update;
    bytes = isUpdate && random() < 0.6 ? changeUpdate(random, bytes, corpus) : changeOctets(random, bytes, corpus);
  }
  return random() < 0.93 ? withLength(bytes) : bytes;
}

/** The header says what is there, as far as there is one. */
function withLength(bytes: Uint8Array): Uint8Array {
  if (bytes.length < headerLength || bytes.length > 0xffff) return bytes;
  bytes[16] = bytes.length >> 8;
  bytes[17] = bytes.length & 255;
  return bytes;
}

function changeOctets(random: Chance, bytes: Uint8Array, corpus: readonly Uint8Array[]): Uint8Array {
  const from = random() < 0.97 && bytes.length > headerLength ? headerLength : 0,
    at = from + below(random, Math.max(1, bytes.length - from)),
    how = random();
  if (bytes.length === 0) return bytes;
  if (how < 0.5) {
    bytes[at] = random() < 0.4 ? bytes[at]! ^ (1 << below(random, 8)) : random() < 0.5 ? pick(random, corners) : below(random, 256);
    return bytes;
  }
  if (how < 0.65) return bytes.slice(0, at);
  if (how < 0.8) return concat(bytes.subarray(0, at), octets(random, 1 + below(random, 4)), bytes.subarray(at));
  if (how < 0.9) return concat(bytes.subarray(0, at), bytes.subarray(Math.min(bytes.length, at + 1 + below(random, 4))));
  return concat(bytes.subarray(0, at), pick(random, corpus).subarray(headerLength)).slice(0, mostOctets);
}

function changeUpdate(random: Chance, bytes: Uint8Array, corpus: readonly Uint8Array[]): Uint8Array {
  const parts = partsOf(bytes);
  if (!parts) return changeOctets(random, bytes, corpus);
  pick(random, changes)(random, parts, corpus);
  const whole = join(parts, random);
  return whole.length <= mostOctets ? whole : bytes;
}

const some = (random: Chance, { attributes }: Parts): Attribute | undefined => attributes[below(random, attributes.length)];

const changes: readonly ((random: Chance, parts: Parts, corpus: readonly Uint8Array[]) => void)[] = [
  (random, parts) => {
    const one = some(random, parts);
    if (one) one.flags = pick(random, flagOctets);
  },
  (random, parts) => {
    const one = some(random, parts);
    if (one) one.type = pick(random, types);
  },
  (random, parts) => {
    const one = some(random, parts);
    if (one) one.value = random() < 0.5 ? one.value.slice(0, below(random, one.value.length + 1)) : concat(one.value, octets(random, 1 + below(random, 9)));
  },
  (random, parts) => {
    const one = some(random, parts);
    if (one && one.value.length > 0) one.value[below(random, one.value.length)] = random() < 0.5 ? pick(random, corners) : below(random, 256);
  },
  (random, parts) => void parts.attributes.splice(below(random, parts.attributes.length + 1), 0, someAttribute(random)),
  (random, parts) => void parts.attributes.splice(below(random, parts.attributes.length), 1),
  (random, parts) => {
    const one = some(random, parts);
    if (one) parts.attributes.splice(below(random, parts.attributes.length + 1), 0, { ...one, value: one.value.slice() });
  },
  (random, parts) => void parts.attributes.sort(() => random() - 0.5),
  (random, parts, corpus) => {
    const other = partsOf(pick(random, corpus));
    if (other) parts.attributes.push(...other.attributes.slice(0, 1 + below(random, 3)));
  },
  (random, parts) => void (parts.nlri = random() < 0.3 ? new Uint8Array(0) : concat(parts.nlri, somePrefixes(random))),
  (random, parts) => void (parts.withdrawn = random() < 0.3 ? new Uint8Array(0) : concat(parts.withdrawn, somePrefixes(random))),
];

function someAttribute(random: Chance): Attribute {
  const type = pick(random, types),
    size = random() < 0.1 ? 256 + below(random, 600) : below(random, 24);
  return { flags: pick(random, flagOctets), type, value: octets(random, size) };
}

/** Usually well-formed, of a small world, so that announcements and withdrawals meet. */
function somePrefixes(random: Chance): Uint8Array {
  const bits = random() < 0.1 ? below(random, 256) : pick(random, [0, 8, 16, 17, 24, 25, 32]);
  const size = random() < 0.95 ? (bits + 7) >> 3 : below(random, 6);
  const body = octets(random, size);
  if (size > 0) body[0] = 10;
  if (size > 1) body[1] = below(random, 4);
  return concat(Uint8Array.of(bits), body);
}

/** Undefined if the lengths do not hold. */
function partsOf(bytes: Uint8Array): Parts | undefined {
  if (bytes.length < headerLength + 4 || bytes[18] !== messageType.update) return undefined;
  const u16 = (at: number): number => (bytes[at]! << 8) | bytes[at + 1]!;
  const withdrawnEnd = headerLength + 2 + u16(headerLength);
  if (withdrawnEnd + 2 > bytes.length) return undefined;
  const attributesEnd = withdrawnEnd + 2 + u16(withdrawnEnd);
  if (attributesEnd > bytes.length) return undefined;
  const attributes: Attribute[] = [];
  for (let at = withdrawnEnd + 2; at < attributesEnd;) {
    const extended = (bytes[at]! & 0x10) !== 0,
      head = extended ? 4 : 3,
      length = extended ? u16(at + 2) : bytes[at + 2]!;
    if (at + head + length > attributesEnd) return undefined;
    attributes.push({ flags: bytes[at]!, type: bytes[at + 1]!, value: bytes.slice(at + head, at + head + length) });
    at += head + length;
  }
  return { withdrawn: bytes.slice(headerLength + 2, withdrawnEnd), attributes, nlri: bytes.slice(attributesEnd) };
}

function join({ withdrawn, attributes, nlri }: Parts, random: Chance): Uint8Array {
  const written = concat(
    ...attributes.map(({ flags, type, value }) => {
      const extended = value.length > 255 || (flags & 0x10) !== 0,
        head = extended ? [flags | 0x10, type, value.length >> 8, value.length & 255] : [flags, type, value.length];
      return concat(Uint8Array.from(head), value);
    }),
  );
  // now and then a total that is off by a little: everything behind it is then read otherwise
  const total = written.length + (random() < 0.03 ? below(random, 7) - 3 : 0);
  return concat(
    new Uint8Array(16).fill(0xff),
    Uint8Array.of(0, 0, messageType.update, withdrawn.length >> 8, withdrawn.length & 255),
    withdrawn,
    Uint8Array.of((total >> 8) & 255, total & 255),
    written,
    nlri,
  );
}

export function octets(random: Chance, size: number): Uint8Array {
  return Uint8Array.from({ length: size }, () => (random() < 0.3 ? pick(random, corners) : below(random, 256)));
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
