/** Tracked connections of a real kernel: those of an address that moved go, all others stay. conntrack(8) makes and lists them. */
import { execFileSync } from "node:child_process";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { flushConntrack } from "../../src/adapters/netlink-conntrack.ts";
import type { Ip } from "#base/ip.ts";
import { kernelMissing, Namespace } from "./kernel-netns.ts";

const missing = kernelMissing ?? (hasProgram() ? undefined : " (skipped: it takes conntrack(8); apt-get install conntrack)");

function hasProgram(): boolean {
  try {
    execFileSync("conntrack", ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

describe.skipIf(missing !== undefined)(`tracked connections${missing ?? ""}`, () => {
  let namespace: Namespace, leave: () => void;
  beforeEach(() => {
    namespace = new Namespace("ct");
    leave = namespace.enter();
  });
  afterEach(() => {
    leave();
    namespace.remove();
  });

  const add = (source: string, destination: string, port: number, reply: readonly [string, string] = [destination, source]): void => {
    const from = `-s ${source} -d ${destination} --sport ${port} --dport 80`;
    namespace.exec(`conntrack -I -p udp ${from} -r ${reply[0]} -q ${reply[1]} --reply-port-src 80 --reply-port-dst ${port} -t 600`);
  };
  const held = (): readonly number[] =>
    ["ipv4", "ipv6"]
      .flatMap((family) =>
        Array.from(namespace.exec(`conntrack -L -f ${family}`).matchAll(/sport=(\d+)/g), ([, port]) => Number(port)).filter((_, i) => i % 2 === 0),
      )
      .toSorted((a, b) => a - b);

  test("of an address, at either end, behind NAT too, are forgotten; those of others stay", async () => {
    add("10.42.1.5", "10.42.2.7", 1001);
    add("10.42.3.9", "10.42.1.5", 1002);
    add("192.0.2.1", "192.0.2.80", 1003, ["10.42.1.5", "192.0.2.1"]);
    add("10.42.1.50", "10.42.2.7", 1004);
    add("fd42:1::5", "fd42:2::7", 1005);
    add("fd42:1::6", "fd42:2::7", 1006);
    expect(held()).toEqual([1001, 1002, 1003, 1004, 1005, 1006]);
    expect(await flushConntrack(["10.42.1.5", "fd42:1::5"] as Ip[])).toBe(4);
    expect(held()).toEqual([1004, 1006]);
    expect(await flushConntrack(["10.42.1.5"] as Ip[])).toBe(0);
    expect(await flushConntrack([])).toBe(0);
  });

  test("many, of which every second is that address's", async () => {
    const one = "conntrack -I -p udp -s 10.42.$((i % 2)).5 -d 10.42.9.9 --sport $((2000 + i)) --dport 53 -t 600";
    const script = `i=0; while [ $i -lt 400 ]; do ${one}; i=$((i + 1)); done`;
    execFileSync("ip", ["netns", "exec", namespace.name, "sh", "-c", script], { stdio: "ignore" });
    expect(await flushConntrack(["10.42.1.5"] as Ip[])).toBe(200);
    expect(held()).toHaveLength(200);
  }, 60_000);
});
