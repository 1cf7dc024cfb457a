import { expect, test } from "vitest";
import { assert, Broken, never } from "#base/assert.ts";
import { callerFault, failed, FaultError, ok, worldFault } from "#base/fault.ts";

test("a promise of ours that does not hold is thrown, and says which", () => {
  expect(() => assert(true, "holds")).not.toThrow();
  expect(() => assert(false, "the best path is one of the candidates")).toThrow(new Broken("the best path is one of the candidates"));
  expect(() => never("x" as never)).toThrow('unreachable: "x"');
});

test("faults say whose they are, and keep their cause on the way up", () => {
  const cause = new Error("ECONNREFUSED");
  const fault = worldFault("store.unreachable", "etcd does not answer");
  const error = new FaultError(fault, cause);
  expect([error.fault, error.message, error.cause, error.name]).toEqual([fault, "etcd does not answer", cause, "FaultError"]);
  expect(new FaultError(callerFault("api.no-such-peer", "no peer x")).cause).toBeUndefined();
  expect([ok(1), failed(fault)]).toEqual([
    { ok: true, value: 1 },
    { ok: false, fault },
  ]);
});
