/** Which neighbours out of a range BFD watches, and how, while their sessions come and go and the range changes under them. */
import { expect, test } from "vitest";
import type { Ip } from "#base/ip.ts";
import type { Prefix } from "#base/prefix.ts";
import type { RangeSettings } from "#base/settings.ts";
import { watchDynamic } from "#daemon/bfd-dynamic.ts";
import { session } from "../bgp/settings-of.ts";
import { SpeakerBench } from "./speaker-bench.ts";

const usual = { intervalMillis: 300, multiplier: 3, multihop: true, minTtl: 1 };
const rangeWith = (bfd: RangeSettings["bfd"]): RangeSettings => ({ ...session, name: "r", range: "10.7.0.0/16" as Prefix, limit: 9, passive: true, bfd });

test("a range that changes is followed by the sessions that are up", () => {
  const bench = new SpeakerBench([]),
    said: string[] = [];
  const anew = watchDynamic(bench.speaker, {
    watch: ({ address, bfd }) => void said.push(`watch ${address} ${bfd.intervalMillis}`),
    unwatch: (address) => void said.push(`unwatch ${address}`),
  });
  const follow = (bfd: RangeSettings["bfd"]): string[] => {
    bench.speaker.configure([], [rangeWith(bfd)], bench.now);
    anew();
    return said.splice(0);
  };
  expect(follow(undefined)).toEqual([]);
  bench.connect({ address: "10.7.0.7" as Ip, remoteAs: session.remoteAs });
  expect(said).toEqual([]);
  expect(follow(usual)).toEqual(["watch 10.7.0.7 300"]);
  expect(follow({ ...usual })).toEqual([]);
  expect(follow({ ...usual, intervalMillis: 100 })).toEqual(["watch 10.7.0.7 100"]);
  expect(follow(undefined)).toEqual(["unwatch 10.7.0.7"]);
  expect(follow(usual)).toEqual(["watch 10.7.0.7 300"]);
  bench.disconnect("10.7.0.7");
  expect(said).toEqual(["unwatch 10.7.0.7"]);
});
