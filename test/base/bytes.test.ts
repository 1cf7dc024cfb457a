import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Reader, Truncated, Writer } from "#base/bytes.ts";

const bytes = Uint8Array.of(0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0xff, 0xff, 0xff, 0xff);

describe("Reader", () => {
  test("reads big-endian, unsigned", () => {
    const r = new Reader(bytes);
    expect([r.u8(), r.u16(), r.u32(), r.u32()]).toEqual([0x01, 0x0203, 0x0405_0607, 0xffff_ffff]);
    expect([r.at, r.left]).toEqual([11, 0]);
    expect(new Reader(bytes, 8).u24()).toBe(0xff_ffff);
  });

  test("refuses to read past its end, and stays where it was", () => {
    const r = new Reader(bytes, 2, 5);
    for (const read of [() => r.u32(), () => r.view(4), () => r.slice(4), () => r.skip(4)]) expect(read).toThrow(Truncated);
    expect([r.at, r.left, r.u24()]).toEqual([2, 3, 0x03_0405]);
    for (const read of [() => r.u8(), () => r.u16(), () => r.u24()]) expect(read).toThrow("0 left");
    expect(r.view(0).length).toBe(0);
  });

  test("a slice ends where it should, and what follows is read after it", () => {
    const r = new Reader(bytes);
    const inner = r.slice(2);
    expect([inner.u16(), inner.left, inner.at]).toEqual([0x0102, 0, 2]);
    expect(() => inner.u8()).toThrow(Truncated);
    r.skip(1);
    expect(r.u8()).toBe(4);
  });

  test("a view shares memory", () => {
    const own = Uint8Array.of(1, 2, 3);
    const view = new Reader(own, 1).view(2);
    own[1] = 9;
    expect([...view]).toEqual([9, 3]);
  });
});

describe("Writer", () => {
  test("what is written is read back, however often it had to grow", () => {
    const write = { 1: "u8", 2: "u16", 3: "u24", 4: "u32" } as const;
    const value = fc.constantFrom(1, 2, 3, 4).chain((size) => fc.tuple(fc.constant(size as 1 | 2 | 3 | 4), fc.integer({ min: 0, max: 2 ** (8 * size) - 1 })));
    fc.assert(
      fc.property(fc.array(value), fc.nat(8), (list, capacity) => {
        const w = new Writer(capacity);
        for (const [size, number] of list) w[write[size]](number);
        const r = new Reader(w.written);
        expect(list.map(([size]) => r[write[size]]())).toEqual(list.map(([, number]) => number));
        expect([r.left, w.length]).toEqual([0, w.written.length]);
      }),
    );
  });

  test("holes are filled in later", () => {
    const w = new Writer(1).u8(7);
    const at = w.hole16();
    w.put(Uint8Array.of(1, 2, 3));
    w.patch16(at, 0xabcd);
    w.patch8(0, 0x1ff);
    expect([...w.written]).toEqual([0xff, 0xab, 0xcd, 1, 2, 3]);
  });
});
