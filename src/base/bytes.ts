/**
 * Bounded big-endian reading and writing (network byte order, RFC 1700).
 * The reader refuses instead of clamping; `Truncated` flies inside `wire/` only: each decoder catches it at its own door.
 */
export class Truncated extends Error {
  override readonly name = "Truncated";
  constructor(wanted: number, left: number) {
    super(`wanted ${wanted} octets, ${left} left`);
  }
}

/** Walks bytes it does not own, without copying them. */
export class Reader {
  readonly bytes: Uint8Array;
  #at: number;
  readonly end: number;

  constructor(bytes: Uint8Array, at = 0, end: number = bytes.length) {
    this.bytes = bytes;
    this.#at = at;
    this.end = end;
  }

  get at(): number {
    return this.#at;
  }
  get left(): number {
    return this.end - this.#at;
  }

  u8(): number {
    return this.bytes[this.#take(1)]!;
  }
  u16(): number {
    const i = this.#take(2);
    return (this.bytes[i]! << 8) | this.bytes[i + 1]!;
  }
  u24(): number {
    const i = this.#take(3);
    return (this.bytes[i]! << 16) | (this.bytes[i + 1]! << 8) | this.bytes[i + 2]!;
  }
  u32(): number {
    const i = this.#take(4);
    return ((this.bytes[i]! << 24) | (this.bytes[i + 1]! << 16) | (this.bytes[i + 2]! << 8) | this.bytes[i + 3]!) >>> 0;
  }
  /** A view of the next `size` octets; shares memory with the input. */
  view(size: number): Uint8Array {
    const at = this.#take(size);
    return this.bytes.subarray(at, at + size);
  }
  /** A narrower reader over the next `size` octets; no copy. */
  slice(size: number): Reader {
    const at = this.#take(size);
    return new Reader(this.bytes, at, at + size);
  }
  skip(size: number): void {
    this.#take(size);
  }

  #take(size: number): number {
    if (size > this.left) throw new Truncated(size, this.left);
    const at = this.#at;
    this.#at += size;
    return at;
  }
}

/** Appends to a buffer of its own that grows by doubling. `patch16` fills a length in once it is known. */
export class Writer {
  #bytes: Uint8Array;
  #at = 0;

  constructor(capacity = 256) {
    this.#bytes = new Uint8Array(capacity);
  }

  get length(): number {
    return this.#at;
  }
  /** What was written so far; shares memory with the writer until the next write grows it. */
  get written(): Uint8Array {
    return this.#bytes.subarray(0, this.#at);
  }

  u8(value: number): this {
    this.#room(1);
    this.#bytes[this.#at++] = value;
    return this;
  }
  u16(value: number): this {
    return this.u8((value >>> 8) & 0xff).u8(value & 0xff);
  }
  u24(value: number): this {
    return this.u8((value >>> 16) & 0xff).u16(value & 0xffff);
  }
  u32(value: number): this {
    return this.u16((value >>> 16) & 0xffff).u16(value & 0xffff);
  }
  put(bytes: Uint8Array): this {
    this.#room(bytes.length);
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
    return this;
  }
  /** Reserves two octets and returns where they are, for `patch16`. */
  hole16(): number {
    const at = this.#at;
    this.u16(0);
    return at;
  }
  patch16(at: number, value: number): void {
    this.#bytes[at] = (value >>> 8) & 0xff;
    this.#bytes[at + 1] = value & 0xff;
  }
  patch8(at: number, value: number): void {
    this.#bytes[at] = value & 0xff;
  }

  #room(size: number): void {
    if (this.#at + size <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.#at + size));
    grown.set(this.written);
    this.#bytes = grown;
  }
}
