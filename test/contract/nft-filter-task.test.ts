import { spawn } from "node:child_process";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Note } from "#base/note.ts";
import { createFilterKeeper, type FilterKeeper, type FilterWanted } from "#daemon/filter-task.ts";
import { forwardProbes } from "#overlay/forward-drops.ts";
import { planMasquerade } from "#overlay/masquerade.ts";
import type { PacketFilter } from "#ports/filter.ts";
import { openNftKernel } from "../../src/adapters/nft-kernel.ts";
import { pool, prefix } from "../overlay/world.ts";
import { Namespace, until } from "./kernel-netns.ts";
import { nft, nftMissing, ruleset, tables } from "./nft-netns.ts";

const hidden = pool({ name: "hidden", masquerade: true }),
  plain = pool({ name: "plain", cidr: prefix("10.42.0.0/16") });
const table = planMasquerade([hidden, plain])!;
const masquerading: FilterWanted = { table, maySweep: true, probes: [] },
  nothing: FilterWanted = { table: undefined, maySweep: true, probes: [] };
/** A drift must be repaired within a second of the deed; the rest of the deadline is for a busy machine. */
const repairMillis = 5000;

describe.skipIf(nftMissing !== undefined)(`our table is kept as it should be${nftMissing ?? ""}`, () => {
  let namespace: Namespace, leave: () => void, notes: Note[], stops: (() => Promise<void>)[];
  beforeEach(() => {
    namespace = new Namespace("nft-task");
    leave = namespace.enter();
    notes = [];
    stops = [];
  });
  afterEach(async () => {
    for (const stop of stops) await stop();
    leave();
    namespace.remove();
  });

  function start(wanted: FilterWanted, open: () => PacketFilter = openNftKernel): FilterKeeper & { stop(): Promise<void> } {
    const signal = new AbortController();
    const telemetry = { note: (said: Note) => void notes.push(said), gauge: () => undefined };
    const keeper = createFilterKeeper({ open, telemetry, tickMillis: 50, judgeMillis: 50 });
    keeper.want(wanted);
    const running = keeper.run(signal.signal),
      stop = async (): Promise<void> => (signal.abort(), running);
    stops.push(stop);
    return Object.assign(keeper, { stop });
  }
  const right = (keeper: FilterKeeper): Promise<void> => until("as it should be", () => keeper.status().inSync, repairMillis);
  const said = (event: string): number => notes.filter((each) => each.event === event).length;

  const meddling: readonly (readonly [string, string])[] = [
    ["everything flushed", "flush ruleset"],
    ["the table deleted", "delete table inet podway"],
    ["the chain flushed", "flush chain inet podway postrouting"],
    ["a rule added", "insert rule inet podway postrouting accept"],
    ["an element deleted", "delete element inet podway pools4 { 10.42.0.0/16 }"],
    ["an element added", "add element inet podway pools4 { 0.0.0.0/5 }"],
    ["another chain added", "add chain inet podway other"],
    ["everything ours made anew by somebody", "delete table inet podway\nadd table inet podway\nadd set inet podway pools4 { type inet_service; }"],
  ];
  test("drift is repaired and counted, one deed after the other", async () => {
    const keeper = start(masquerading);
    await right(keeper);
    const whole = ruleset(namespace);
    for (const [what, deed] of meddling) {
      const { drift } = keeper.status(),
        began = performance.now();
      nft(namespace, deed);
      await until(`repaired: ${what}`, () => ruleset(namespace) === whole && keeper.status().drift > drift, repairMillis);
      await right(keeper);
      expect(performance.now() - began).toBeLessThan(repairMillis);
    }
    expect(keeper.status().drift).toBe(meddling.length);
    expect(said("filter.drift")).toBe(meddling.length);
  });

  test("nothing happens while nothing happens; other people's changes cost a look and no write", async () => {
    const keeper = start(masquerading);
    await right(keeper);
    const before = keeper.status();
    expect(before).toMatchObject({ writes: 2, drift: 0 });
    nft(namespace, "table ip other { chain c { }; }");
    await until("it looked", () => keeper.status().looks > before.looks);
    await right(keeper);
    const after = keeper.status();
    nft(namespace, "add rule ip other c accept");
    await until("and looked again", () => keeper.status().looks > after.looks);
    expect(keeper.status()).toMatchObject({ looks: after.looks + 1, writes: 2, drift: 0 });
    expect(tables(namespace)).toEqual(["table inet podway", "table ip other"]);
  });

  test("a change of pools writes the elements; the last state wins", async () => {
    const keeper = start(masquerading);
    await right(keeper);
    const handles = namespace.exec("nft -a list chain inet podway postrouting");
    for (let i = 0; i < 20; i++) keeper.want({ ...masquerading, table: planMasquerade([hidden, { ...plain, cidr: prefix(`10.${60 + i}.0.0/16`) }]) });
    await until("the last is written", () => ruleset(namespace).includes("elements = { 10.43.0.0/16, 10.79.0.0/16 }"));
    expect(namespace.exec("nft -a list chain inet podway postrouting")).toBe(handles);
    expect(said("filter.drift")).toBe(0);
  });

  test("stopping leaves it; another start finds it right and writes nothing", async () => {
    const first = start(masquerading);
    await right(first);
    await first.stop();
    const before = ruleset(namespace);
    const second = start(masquerading);
    await right(second);
    expect([ruleset(namespace), second.status().writes]).toEqual([before, 0]);
  });

  test("no pool masquerades any more: the table goes, and only then, and only if the document is known", async () => {
    const first = start(masquerading);
    await right(first);
    await first.stop();
    const unsure = start({ ...nothing, maySweep: false });
    await right(unsure);
    expect([tables(namespace), unsure.status().writes]).toEqual([["table inet podway"], 0]);
    unsure.want(nothing);
    await until("it is gone", () => tables(namespace).length === 0);
  });

  test("nothing wanted, nothing there: nothing is written", async () => {
    nft(namespace, "table ip other { }");
    const keeper = start(nothing);
    await right(keeper);
    expect([tables(namespace), keeper.status().writes, notes]).toEqual([["table ip other"], 0, []]);
  });

  test("a chain that drops pods' packets is told of, once, and forgotten when it lets them by", async () => {
    const probes = forwardProbes([hidden], new Map([["hidden", prefix("10.43.1.0/24")]]));
    const keeper = start({ ...masquerading, probes });
    await right(keeper);
    expect(keeper.warnings()).toEqual([]);
    nft(namespace, "table ip filter { chain FORWARD { type filter hook forward priority filter; policy drop; }; }");
    await until("it is seen", () => keeper.warnings().length === 1);
    expect(keeper.warnings()[0]).toMatch(/^chain FORWARD of table ip filter drops forwarded packets of pods \(10\.43\.0\.0\/16\)/);
    nft(namespace, "table ip other { }");
    nft(namespace, "insert rule ip filter FORWARD ip saddr 10.43.0.0/16 accept\ninsert rule ip filter FORWARD ip daddr 10.43.0.0/16 accept");
    await until("it is forgotten", () => keeper.warnings().length === 0);
    expect(said("filter.forward-drop")).toBe(1);
  });

  test("rules that read back otherwise than written are written once, not for ever", async () => {
    const strange = (): PacketFilter => {
      const real = openNftKernel();
      return { ...bound(real), look: async () => ((seen) => seen && { ...seen, isReadable: false })(await real.look()) };
    };
    const keeper = start(masquerading, strange);
    await right(keeper);
    const { looks } = keeper.status();
    nft(namespace, "table ip other { }");
    await until("it looked", () => keeper.status().looks > looks);
    await right(keeper);
    expect(keeper.status()).toMatchObject({ writes: 2, drift: 0 });
    nft(namespace, "flush chain inet podway postrouting");
    await until("it is repaired all the same", () => keeper.status().drift === 1 && ruleset(namespace).includes("masquerade fully-random"));
  });

  test("without the right to it: one sentence, again and again tried, said once", async () => {
    const code = `
      const { openNftKernel } = await import(${JSON.stringify(new URL("../../src/adapters/nft-kernel.ts", import.meta.url).href)});
      const { createFilterKeeper } = await import(${JSON.stringify(new URL("../../src/daemon/filter-task.ts", import.meta.url).href)});
      const keeper = createFilterKeeper({ open: openNftKernel, telemetry: { note: (said) => console.log(said.text), gauge() {} } });
      keeper.want({ table: { sets: [], chains: [] }, maySweep: true, probes: [] });
      const stop = new AbortController();
      setTimeout(() => stop.abort(), 2500);
      await keeper.run(stop.signal);
      console.log("warning:", ...keeper.warnings());`;
    const child = spawn("setpriv", ["--bounding-set=-net_admin", process.execPath, "--input-type=module", "-e", code], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let printed = "";
    for await (const chunk of child.stdout) printed += String(chunk);
    const sentence = "packet rules cannot be read or written: Podway lacks CAP_NET_ADMIN in this network namespace; run it as root, or by the unit in deploy/.";
    expect(printed.trim().split("\n")).toEqual([sentence, `warning: ${sentence}`]);
  });
});

/** The methods of a filter as plain properties, so that one can be replaced. */
function bound(filter: PacketFilter): PacketFilter {
  return {
    generation: () => filter.generation(),
    look: () => filter.look(),
    apply: (change) => filter.apply(change),
    forwardChains: () => filter.forwardChains(),
    close: () => filter.close(),
  };
}
