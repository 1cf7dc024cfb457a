import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { FilterTable } from "#base/filter-table.ts";
import type { Prefix } from "#base/prefix.ts";
import { changeTo } from "#overlay/filter-change.ts";
import { findForwardDrops, forwardProbes } from "#overlay/forward-drops.ts";
import { planMasquerade } from "#overlay/masquerade.ts";
import type { PacketFilter } from "#ports/filter.ts";
import { openNftKernel } from "../../src/adapters/nft-kernel.ts";
import { openNftLibrary } from "../../src/adapters/nft-library.ts";
import { openNftProgram } from "../../src/adapters/nft-program.ts";
import { pool, prefix } from "../overlay/world.ts";
import { Namespace } from "./kernel-netns.ts";
import { nft, nftMissing, ruleset, tables } from "./nft-netns.ts";

const hidden = pool({ name: "hidden", masquerade: true }),
  plain = pool({ name: "plain", cidr: prefix("10.42.0.0/16") }),
  hidden6 = pool({ name: "hidden6", cidr: prefix("fd43::/48"), family: 6, nodePrefix: 64, masquerade: true });
const wanted = planMasquerade([hidden, plain, hidden6])!;

const wantedInOtherOrder = { ...wanted, sets: [0, 1, 3, 2].map((i) => wanted.sets[i]!) };

const golden = `table inet podway {
	set pools4 {
		type ipv4_addr
		flags interval
		elements = { 10.42.0.0/16, 10.43.0.0/16 }
	}

	set masquerade4 {
		type ipv4_addr
		flags interval
		elements = { 10.43.0.0/16 }
	}

	set pools6 {
		type ipv6_addr
		flags interval
		elements = { fd43::/48 }
	}

	set masquerade6 {
		type ipv6_addr
		flags interval
		elements = { fd43::/48 }
	}

	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		meta mark & 0x00004000 == 0x00004000 return comment "marked by kube-proxy, which masquerades it itself"
		ip saddr @masquerade4 ip daddr != @pools4 ip daddr != 224.0.0.0/4 masquerade fully-random comment "from a pod to beyond every pool"
		ip6 saddr @masquerade6 ip6 daddr != @pools6 ip6 daddr != ff00::/8 masquerade fully-random comment "from a pod to beyond every pool"
	}
}
`;
const foreign =
  "table ip nat { chain POSTROUTING { type nat hook postrouting priority srcnat; oifname docker0 masquerade; }; }\ntable inet podway2 { chain c { }; }\n";

/** Chains, maps and named counters that hold on to each other. */
const meddled = `table inet podway {
  counter hits { }
  map where { type ipv4_addr : verdict; elements = { 192.0.2.1 : jump other }; }
  chain other { counter name hits; }
  chain extra { type filter hook output priority 0; policy accept; ip daddr vmap @where; }
  chain postrouting { type nat hook postrouting priority srcnat; jump other; }
}`;
const tableHandle = (namespace: Namespace): number => Number(/table inet podway \{ # handle (\d+)/.exec(namespace.exec("nft -a list table inet podway"))![1]);

/** A thousand CIDRs that touch each other, as leases of one pool do. */
const thousand = (first: number): ReadonlySet<Prefix> => new Set(Array.from({ length: 1000 }, (_, i) => prefix(`10.${first + (i >> 8)}.${i & 255}.0/24`)));

const engines = { libnftables: openNftLibrary, "the program nft": openNftProgram } as const;
let label = 0;
for (const [name, open] of Object.entries(engines)) {
  describe.skipIf(nftMissing !== undefined)(`packet rules through ${name}${nftMissing ?? ""}`, () => {
    let namespace: Namespace, leave: () => void, filter: PacketFilter;
    beforeEach(async () => {
      namespace = new Namespace(`nft-${label++}`);
      leave = namespace.enter();
      filter = openNftKernel(await open());
    });
    afterEach(async () => {
      await filter.close();
      leave();
      namespace.remove();
    });
    const look = async (): Promise<FilterTable | undefined> => {
      const seen = await filter.look();
      return seen && { sets: seen.sets, chains: seen.chains };
    };
    const timed = async (work: () => Promise<unknown>): Promise<string> => {
      const started = performance.now();
      await work();
      return `${(performance.now() - started).toFixed(1)} ms`;
    };

    test("nothing, then our table, and nft lists it; then nothing again", async () => {
      expect(await filter.look()).toBeUndefined();
      await filter.apply({ kind: "anew", table: wanted });
      expect(ruleset(namespace)).toBe(golden);
      expect(await look()).toEqual(wanted);
      await filter.apply({ kind: "anew", table: wanted });
      expect(ruleset(namespace)).toBe(golden);
      await filter.apply({ kind: "remove" });
      expect([await filter.look(), ruleset(namespace)]).toEqual([undefined, ""]);
      await filter.apply({ kind: "remove" });
    });

    test("tables beside ours survive", async () => {
      nft(namespace, foreign);
      const theirs = ruleset(namespace);
      await filter.apply({ kind: "anew", table: wanted });
      expect(tables(namespace)).toEqual(["table ip nat", "table inet podway2", "table inet podway"]);
      await filter.apply({ kind: "remove" });
      expect(ruleset(namespace)).toBe(theirs);
    });

    test("elements come and go, and what is enlarged takes the place of what it was", async () => {
      await filter.apply({ kind: "anew", table: wanted });
      const handles = namespace.exec("nft -a list chain inet podway postrouting");
      await filter.apply({
        kind: "elements",
        sets: [{ name: "pools4", add: [prefix("10.40.0.0/13"), prefix("192.0.2.1/32")], remove: [prefix("10.42.0.0/16"), prefix("10.43.0.0/16")] }],
      });
      expect([...(await look())!.sets[0]!.prefixes]).toEqual(["10.40.0.0/13", "192.0.2.1/32"]);
      expect(namespace.exec("nft -a list chain inet podway postrouting")).toBe(handles);
    });

    test("a transaction that fails changes nothing, and says why in one sentence", async () => {
      await filter.apply({ kind: "anew", table: wanted });
      const change = { kind: "elements", sets: [{ name: "pools4", add: [prefix("10.50.0.0/16")], remove: [prefix("10.99.0.0/16")] }] } as const;
      await expect(filter.apply(change)).rejects.toThrow(/^nftables (refused|knows no)[^\n]*$/);
      expect(ruleset(namespace)).toBe(golden);
    });

    /** Change by change, as long as there is one. */
    const settle = async (): Promise<readonly string[]> => {
      const kinds: string[] = [];
      for (let change = changeTo(wanted, await filter.look()); change !== undefined; change = changeTo(wanted, await filter.look())) {
        await filter.apply(change);
        kinds.push(change.kind);
      }
      return kinds;
    };
    test("step by step from nothing, and from less", async () => {
      expect(await settle()).toEqual(["sets", "rules"]);
      expect(ruleset(namespace)).toBe(golden);
      nft(namespace, "flush chain inet podway postrouting\ndelete set inet podway pools6\nflush set inet podway pools4");
      expect(await settle()).toEqual(["sets", "elements", "rules"]);
      expect(await look()).toEqual(wantedInOtherOrder);
    });

    test("what others put into our table is seen, and goes without the table being made anew", async () => {
      await settle();
      const before = (await filter.look())!,
        handle = tableHandle(namespace);
      nft(namespace, meddled);
      const seen = (await filter.look())!;
      expect([seen.isReadable, seen.rulesText === before.rulesText]).toEqual([false, false]);
      expect(await settle()).toEqual(["rules", "objects"]);
      expect([ruleset(namespace), tableHandle(namespace)]).toEqual([golden, handle]);
    });

    test("a chain of our name at another hook is made anew", async () => {
      nft(namespace, "table inet podway { chain postrouting { type filter hook forward priority 0; policy drop; }; }");
      expect(await settle()).toEqual(["anew"]);
      expect(ruleset(namespace)).toBe(golden);
    });

    test("the generation moves with every transaction, anybody's, and stands still otherwise", async () => {
      const before = filter.generation();
      expect(filter.generation()).toBe(before);
      nft(namespace, foreign);
      expect(filter.generation()).toBe(before + 1);
      await filter.apply({ kind: "anew", table: wanted });
      await filter.look();
      expect(filter.generation()).toBe(before + 2);
    });

    test("a thousand CIDRs: figures", async () => {
      const set = { name: "pools4", family: 4 } as const,
        table = { sets: [{ ...set, prefixes: thousand(60) }], chains: wanted.chains.map((chain) => ({ ...chain, rules: [] })) };
      const written = await timed(() => filter.apply({ kind: "anew", table }));
      const looked = await timed(async () => expect(await look()).toEqual(table));
      const one = await timed(() =>
        filter.apply({ kind: "elements", sets: [{ name: "pools4", add: [prefix("10.99.0.0/24")], remove: [prefix("10.60.7.0/24")] }] }),
      );
      const all = await timed(() =>
        filter.apply({
          kind: "elements",
          sets: [{ name: "pools4", add: [...thousand(80)], remove: [...table.sets[0]!.prefixes].filter((each) => each !== "10.60.7.0/24") }],
        }),
      );
      expect((await look())!.sets[0]!.prefixes.size).toBe(1001);
      let asked = "";
      asked = await timed(async () => {
        for (let i = 0; i < 1000; i++) filter.generation();
      });
      console.log(
        `${name}, 1,000 CIDRs: write ${written}, look ${looked}, one out and one in ${one}, all out and others in ${all}; 1,000 generations ${asked}`,
      );
    });

    test("who drops what is forwarded: chains as nft itself writes them", async () => {
      const probes = forwardProbes(
        [hidden, hidden6],
        new Map([
          ["hidden", prefix("10.43.1.0/24")],
          ["hidden6", prefix("fd43:0:0:1::/64")],
        ]),
      );
      const drops = async (): Promise<readonly string[]> =>
        (await filter.forwardChains().then((view) => findForwardDrops(view, probes))).map((text) =>
          text.replace(/ drops .*? of pods /, " drops ").replace(/;.*/, ""),
        );
      await filter.apply({ kind: "anew", table: wanted });
      expect(await drops()).toEqual([]);
      nft(namespace, docker);
      expect(await drops()).toEqual(["chain FORWARD of table ip filter drops (10.43.0.0/16) by its policy, and no rule of it surely accepts them"]);
      nft(
        namespace,
        "add rule ip filter DOCKER-USER ip saddr 10.43.0.0/16 accept\nadd rule ip filter DOCKER-USER ip daddr { 10.43.0.0/16, 10.99.0.0/16 } accept",
      );
      expect(await drops()).toEqual([]);
      nft(namespace, zones);
      expect(await drops()).toEqual(["chain filter_FORWARD of table inet firewalld drops (10.43.0.0/16, fd43::/48) by a rule"]);
      nft(namespace, "add element inet firewalld trusted { 10.40.0.0/13 }\nadd element inet firewalld trusted6 { fd00::/8 }");
      expect(await drops()).toEqual([]);
    });
  });
}

const docker = `table ip filter {
  chain DOCKER-USER { }
  chain DOCKER { iifname != "docker0" oifname "docker0" drop; }
  chain FORWARD {
    type filter hook forward priority filter; policy drop;
    counter jump DOCKER-USER
    oifname "docker0" ct state related,established counter accept
    oifname "docker0" counter jump DOCKER
    iifname "docker0" oifname != "docker0" counter accept
  }
}`;
const zones = `table inet firewalld {
  set trusted { type ipv4_addr; flags interval; }
  set trusted6 { type ipv6_addr; flags interval; }
  chain zone_in { ip saddr @trusted ip daddr @trusted accept; ip6 saddr @trusted6 accept; iifname "eth0" goto public; goto public; }
  chain public { ct state { established, related } accept; meta l4proto icmp accept; return; }
  chain filter_FORWARD {
    type filter hook forward priority filter + 10; policy accept;
    ct state { established, related } accept
    ct status dnat accept
    iifname "lo" accept
    ct state invalid drop
    jump zone_in
    reject with icmpx type admin-prohibited
  }
}`;
