/**
 * A stream of encoded UPDATEs that several members read, each at its own cursor. A hot file; twin: test/bgp/lanes.test.ts.
 *
 * Messages are written once into chunks; chunks are linked and belong to whoever still reads them, so a slow reader keeps
 * exactly what it has not read. A run is a stretch of messages whose routes came from one peer: that peer skips it, and is
 * given the run's alternative instead (the withdrawal of what it had been told by others), if there is one. There are runs for
 * everyone, and runs for one member alone.
 * Holds: what was written never changes; a run never grows after somebody may have read it.
 */
/** Readers of a run: a peer's id says all but that peer. */
export const everyone = -1;
/** All by itself: what others need not be told. */
export const only = (peer: number): number => -2 - peer;
/** The peer of `only`; negative for `everyone`. */
export const soleReader = (readers: number): number => -2 - readers;

const smallChunk = 8 * 1024;
const largeChunk = 64 * 1024;

class Chunk {
  readonly bytes: Uint8Array;
  used = 0;
  next: Chunk | undefined;
  readonly runStart: number[] = [];
  readonly runReaders: number[] = [];
  readonly runAlternative: (Uint8Array | undefined)[] = [];
  readonly runMessages: number[] = [];

  constructor(size: number) {
    this.bytes = new Uint8Array(size);
  }
}

export interface Cursor {
  chunk: Chunk;
  run: number;
  offset: number;
  /** Octets of the lane passed so far, skipped ones included. */
  position: number;
  /** Messages given so far. */
  messages: number;
}

export class Lane {
  #tail = new Chunk(smallChunk);
  #written = 0;
  #large = false;
  #readers = everyone;

  /** Octets written since the lane was made. */
  get written(): number {
    return this.#written;
  }
  /** Where the next message starts within the buffer `room` answered. */
  get at(): number {
    return this.#tail.used;
  }

  /** A cursor that will read what is written from now on. */
  cursor(): Cursor {
    return { chunk: this.#tail, run: this.#tail.runStart.length, offset: this.#tail.used, position: this.#written, messages: 0 };
  }

  /** Starts a run. `expectMuch`: bulk is coming, use large chunks. */
  begin(readers: number, alternative: Uint8Array | undefined, expectMuch: boolean): void {
    this.#large = expectMuch;
    this.#readers = readers;
    this.#open(alternative);
  }

  /** A buffer with at least `size` octets free at `at`. */
  room(size: number): Uint8Array {
    if (this.#tail.used + size > this.#tail.bytes.length) {
      const chunk = new Chunk(Math.max(size, this.#large ? largeChunk : smallChunk));
      this.#tail.next = chunk;
      this.#tail = chunk;
      this.#open(undefined);
    }
    return this.#tail.bytes;
  }

  /** A message was written up to offset `end` of the tail. */
  advance(end: number): void {
    this.#written += end - this.#tail.used;
    this.#tail.runMessages[this.#tail.runMessages.length - 1]!++;
    this.#tail.used = end;
  }

  #open(alternative: Uint8Array | undefined): void {
    const tail = this.#tail;
    tail.runStart.push(tail.used);
    tail.runReaders.push(this.#readers);
    tail.runAlternative.push(alternative);
    tail.runMessages.push(0);
  }
}

/** Gives `member` what follows its cursor, in views that share memory with the lane; at most about `room` octets. Answers how many were given. */
export function read(cursor: Cursor, member: number, room: number, give: (bytes: Uint8Array) => void): number {
  let given = 0;
  for (;;) {
    const chunk = cursor.chunk;
    if (cursor.offset < chunk.used || cursor.run < chunk.runStart.length) given += readChunk(cursor, member, give);
    if (!chunk.next) return given;
    cursor.chunk = chunk.next;
    cursor.run = 0;
    cursor.offset = 0;
    if (given >= room) return given;
  }
}

function readChunk(cursor: Cursor, member: number, give: (bytes: Uint8Array) => void): number {
  const { bytes, used, runStart, runReaders, runAlternative, runMessages } = cursor.chunk;
  let from = cursor.offset,
    given = 0;
  const flush = (to: number): void => {
    if (to > from) {
      give(bytes.subarray(from, to));
      given += to - from;
    }
  };
  for (let run = cursor.run; run < runStart.length; run++) {
    const readers = runReaders[run]!;
    if (readers < everyone ? soleReader(readers) === member : readers !== member) {
      cursor.messages += runMessages[run]!;
      continue;
    }
    const start = runStart[run]!,
      end = run + 1 < runStart.length ? runStart[run + 1]! : used;
    flush(start);
    from = end;
    const alternative = runAlternative[run];
    if (alternative) {
      give(alternative);
      given += alternative.length;
      cursor.messages++;
    }
  }
  flush(used);
  cursor.position += used - cursor.offset;
  cursor.run = runStart.length;
  cursor.offset = used;
  return given;
}
