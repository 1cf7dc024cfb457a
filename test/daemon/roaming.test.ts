/** Three daemons and an etcd: an owner's address follows its pods from node to node, and no fault gives it to two. */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { kernelMissing, Namespace } from "../contract/kernel-netns.ts";
import { until } from "./daemon-process.ts";
import { type RoamingNode, RoamingWorld } from "./roaming-world.ts";

const document = `asn: 64512
lease: { hold: 30s, liveness: 3s }
pools:
  - { name: routed, cidr: 10.42.0.0/16, backend: bgp, pods: { roam: true, coolDown: 1s, quota: { team: 2 } } }
  - { name: overlay, cidr: 10.43.0.0/16, backend: vxlan, vni: 42, crossSubnet: false, pods: { roam: true, coolDown: 1s } }
nodes:
  n1: { address: 10.0.0.1 }
  n2: { address: 10.0.0.2 }
  n3: { address: 10.0.0.3 }
`;

describe.skipIf(kernelMissing !== undefined)(`addresses that follow their owners${kernelMissing ?? ""}`, () => {
  let world: RoamingWorld,
    pods: Namespace[] = [],
    n1: RoamingNode,
    n2: RoamingNode,
    n3: RoamingNode;
  const made = new Set<{ node: RoamingNode; id: string }>();

  const attach = async (node: RoamingNode, id: string, pod: number, more: object): Promise<string> => {
    const reply = await node.attach(id, pods[pod]!, more);
    expect(reply.body.error).toBeUndefined();
    made.add({ node, id });
    return reply.body.addresses[0]!.address;
  };
  const pings = (pod: number, address: string): boolean => {
    try {
      return pods[pod]!.exec(`ping -c1 -W1 ${address}`).includes("1 received");
    } catch {
      return false;
    }
  };
  /** The store has told the node. */
  const heard = (node: RoamingNode, address: string, what: string): Promise<void> =>
    until(`${node.name} has heard that ${address} is ${what}`, async () => (await node.who(address)).includes(what));
  const claimed = (address: string, what: string): Promise<void> =>
    until(`${address} is ${what}`, async () => {
      const claim = await world.claim(address);
      return (claim === undefined ? "free" : `${claim.state} by ${claim.node}`) === what;
    });

  beforeAll(async () => {
    pods = ["a", "b", "c"].map((name) => new Namespace(`roam-${name}`));
    world = await RoamingWorld.make("roam", ["n1", "n2", "n3"], document);
    [n1, n2, n3] = world.nodes as [RoamingNode, RoamingNode, RoamingNode];
    for (const { daemon } of world.nodes)
      await daemon.until("sessions are up", ({ peers }) => peers.length === 2 && peers.every(({ state }) => state === "Established"));
  }, 60_000);
  afterAll(async () => {
    await world.remove();
    for (const pod of pods) pod.remove();
  });

  for (const pool of ["routed", "overlay"]) {
    it(`${pool}: a pod deleted here and made there keeps its address, and a third is reached from it again at once`, async () => {
      const owner = `shop/${pool}-0`,
        watcher = await attach(n3, `w-${pool}`, 2, { pools: [pool] });
      const address = await attach(n1, `one-${pool}`, 0, { pools: [pool], owner });
      await claimed(address, "held by n1");
      await until("the third reaches it", () => pings(2, address));
      await n1.detach(`one-${pool}`);
      await claimed(address, "kept by n1");
      expect(await attach(n2, `two-${pool}`, 1, { pools: [pool], owner })).toBe(address);
      expect(await world.claim(address)).toMatchObject({ node: "n2", state: "held", owner });
      await until("the third reaches it on the other node", () => pings(2, address));
      expect(pings(1, watcher)).toBe(true);
      await until("home knows", async () => (await n1.who(address)).includes("in use on node n2"));
      expect(await n1.allocate("thief", { addresses: [address] })).toMatchObject({ status: 409, body: { error: { code: "ipam.taken" } } });
      expect((await n2.audit()).at(-1)).toMatchObject({ event: "moved", address, node: "n1", owner });
      // And back home.
      await n2.detach(`two-${pool}`);
      expect(await attach(n1, `three-${pool}`, 0, { pools: [pool], owner })).toBe(address);
      await until("the third reaches it at home", () => pings(2, address));
      await until("no host route is left", () => !n2.namespace.ip("route show proto 117").includes(`${address} `));
      for (const [node, id] of [
        [n1, "three"],
        [n3, "w"],
      ] as const)
        await node.detach(`${id}-${pool}`);
    }, 60_000);
  }

  it("pinged 50 times a second while it moves, it answers but for the moment it is nowhere", async () => {
    const owner = "shop/pinged-0",
      watcher = await attach(n3, "pinger", 2, { pools: ["routed"] }),
      address = await attach(n1, "from", 0, { pools: ["routed"], owner });
    await claimed(address, "held by n1");
    await until("the third reaches it", () => pings(2, address));
    const everyMillis = 20,
      pinging = spawn("ip", ["netns", "exec", pods[2]!.name, "ping", "-D", "-n", "-i", String(everyMillis / 1000), "-c", "150", "-W", "1", address]);
    const answers: { readonly number: number; readonly at: number }[] = [];
    createInterface({ input: pinging.stdout }).on("line", (line) => {
      const found = /^\[([\d.]+)\].*icmp_seq=(\d+).*time=([\d.]+) ms/.exec(line);
      if (found) answers.push({ number: Number(found[2]), at: Number(found[1]) * 1000 - Number(found[3]) });
    });
    await until("pings are answered", () => answers.length > 20);
    const left = Date.now();
    await n1.detach("from");
    expect(await attach(n2, "to", 1, { pools: ["routed"], owner })).toBe(address);
    const came = Date.now();
    await new Promise((resolve) => pinging.once("close", resolve));
    const has = new Set(answers.map(({ number }) => number)),
      origin = answers[0]!.at - answers[0]!.number * everyMillis;
    // ping keeps its pace by the clock: when the lost ones were sent follows from the answered ones around them.
    const sentAt = (number: number): number => {
      const before = answers.findLast((answer) => answer.number < number)!;
      return before.at + (number - before.number) * everyMillis;
    };
    const lost = Array.from({ length: 150 }, (_, i) => i + 1).filter((number) => !has.has(number));
    const outside = lost.map(sentAt).filter((at) => at < left - 2 * everyMillis || at > came + 5 * everyMillis);
    expect([origin > 0, lost.length < 100, outside]).toEqual([true, true, []]);
    await n2.detach("to");
    await n3.detach("pinger");
    expect(world.nodes.flatMap(({ daemon }) => daemon.said("ipam.not-flushed"))).toEqual([]);
    expect(watcher).not.toBe(address);
  }, 60_000);

  it("a namespace's quota counts on all nodes; routes asked for are the attachment's; a pod that vanished leaves no route behind that fails", async () => {
    const ask = { pools: ["routed"], namespace: "team" };
    expect([(await n1.allocate("q1", ask)).status, (await n2.allocate("q2", ask)).status]).toEqual([200, 200]);
    await until("n3 has heard of both", async () => {
      const reply = await n3.allocate("q3", ask);
      await n3.ask("DELETE", "/v1/addresses?containerId=q3&ifname=eth0");
      return reply.body.error?.code === "ipam.quota";
    });
    await n1.ask("DELETE", "/v1/addresses?containerId=q1&ifname=eth0");
    await until("one is free again", async () => (await n3.allocate("q3", ask)).status === 200);
    for (const [node, id] of [
      [n2, "q2"],
      [n3, "q3"],
    ] as const)
      await node.ask("DELETE", `/v1/addresses?containerId=${id}&ifname=eth0`);

    const routes = [{ destination: "10.0.0.0/8" }, { destination: "192.0.2.0/24", gateway: "10.9.9.9" }];
    const made = await n1.attach("routes", pods[0]!, { pools: ["overlay"], routes });
    expect(made.body.routes).toEqual([{ destination: "10.0.0.0/8", gateway: "169.254.1.1" }, routes[1]]);
    const checked = await n1.ask("POST", "/v1/attachments/check", { containerId: "routes", ifname: "eth0" });
    expect([checked.status, (checked.body as { routes: unknown }).routes]).toEqual([200, made.body.routes]);
    const { address } = made.body.addresses[0]!,
      own = async (): Promise<string> => JSON.stringify(await n1.daemon.get("/v1/kernel"));
    expect(await own()).toContain(`${address}/32`);
    pods[0]!.ip("link del eth0");
    await until("its route is wanted no more", async () => !(await own()).includes(`${address}/32`));
    await n1.detach("routes");
  }, 60_000);

  it("a pod waits while the one before it is there, and has the address the moment that is gone", async () => {
    const owner = "shop/wait-0",
      address = await attach(n1, "old", 0, { pools: ["routed"], owner });
    await claimed(address, "held by n1");
    await heard(n2, address, "held by a pod on node n1");
    const waiting = attach(n2, "new", 1, { pools: ["routed"], owner });
    await n1.detach("old");
    expect(await waiting).toBe(address);
    // Nobody goes: the runtime is told to try again, and by whom it is held.
    const refused = await n3.allocate("late", { pools: ["routed"], owner });
    expect(refused).toMatchObject({ status: 503, body: { error: { code: "ipam.try-later" } } });
    expect(refused.body.error!.text).toContain("still used by its pod on node n2");
    await n2.detach("new");
  }, 60_000);

  it("while the store is away from one, nothing moves to it that it cannot be sure of, its own goes on, and is shown after", async () => {
    const owner = "shop/away-0",
      address = await attach(n1, "stay", 0, { pools: ["routed"], owner });
    await claimed(address, "held by n1");
    await n1.detach("stay");
    await claimed(address, "kept by n1");
    n2.cut(true);
    await n2.daemon.until("the store is away", ({ store }) => store?.state === "away");
    // Asked for by name it is refused for now; unasked another of this node's own is given.
    expect(await n2.allocate("sure", { addresses: [address], owner })).toMatchObject({ status: 503, body: { error: { code: "ipam.try-later" } } });
    const other = await n2.allocate("other", { pools: ["routed"], owner });
    expect([other.status, other.body.addresses[0]!.address === address]).toEqual([200, false]);
    n2.cut(false);
    await n2.daemon.until("the store is back", ({ store }) => store?.state === "connected");
    await claimed(other.body.addresses[0]!.address, "held by n2");
    await claimed(address, "kept by n1");
    expect(await attach(n1, "again", 0, { pools: ["routed"], owner })).toBe(address);
    await n1.detach("again");
    await n2.ask("DELETE", "/v1/addresses?containerId=other&ifname=eth0");
  }, 60_000);

  it("kill -9 of the taker at any moment of a hand-over: it has the address afterwards or nobody has, never two", async () => {
    const owner = "shop/killed-0";
    let address = await attach(n1, "k-0", 0, { pools: ["routed"], owner });
    for (const millis of [0, 5, 15, 30, 60, 120]) {
      await claimed(address, "held by n1");
      await heard(n2, address, "held by a pod on node n1");
      await n1.detach("k-0");
      const taking = n2.attach("k-1", pods[1]!, { pools: ["routed"], owner }).catch(() => undefined);
      await new Promise((resolve) => setTimeout(resolve, millis));
      await n2.daemon.end("SIGKILL");
      await taking;
      n2.start();
      await until("n2 is ready", () => n2.isReady().catch(() => false));
      await until("claim and journal agree", async () => {
        const claim = await world.claim(address),
          { body } = await n2.ask<readonly { addresses: readonly { address: string }[] }[]>("GET", "/v1/attachments?containerId=k-1"),
          // While the store does not answer it is given another one.
          has = body.some(({ addresses }) => addresses.some((each) => each.address === address));
        return (claim?.state === "held" && claim.node === "n2") === has;
      });
      await n2.detach("k-1");
      await until("it waits again, or its claim ended with the taker's old lease", async () => (await world.claim(address))?.state !== "held");
      const waits = (await world.claim(address))?.state === "kept",
        back = await attach(n1, "k-0", 0, { pools: ["routed"], owner });
      // Without a claim it may rest: then its owner has another meanwhile.
      if (waits) expect(back).toBe(address);
      address = back;
    }
    await n1.detach("k-0");
  }, 120_000);

  it("its home and last node dies: the pod waits, and after podway evict has the address on another", async () => {
    const owner = "shop/dead-0",
      address = await attach(n1, "dead", 0, { pools: ["routed"], owner });
    await claimed(address, "held by n1");
    await n1.daemon.end("SIGKILL");
    await until("its presence is over", async () => !(await world.etcd.ctl("get", "--prefix", "--keys-only", "/podway/t/nodes/")).includes("/n1"), 20_000);
    const refused = await n3.allocate("early", { pools: ["routed"], owner });
    expect(refused.body.error!.text).toContain("podway evict n1");
    expect((await n3.daemon.podway("evict", "n1")).code).toBe(0);
    await claimed(address, "kept by n1");
    pods[0]!.ip("link del eth0");
    expect(await attach(n3, "alive", 1, { pools: ["routed"], owner })).toBe(address);
    const watcher = await attach(n2, "watch", 2, { pools: ["routed"] });
    await until("it answers there", () => pings(2, address));
    expect(pings(1, watcher)).toBe(true);
    // The dead come back: what its pods had is another's, and no two answer.
    n1.start();
    await until("it is cut off here", async () => (await n1.audit().catch(() => [])).some((entry) => entry.event === "lost" && entry.address === address));
    expect(pings(2, address)).toBe(true);
    expect(n1.namespace.ip("route show proto 117")).not.toContain(`${address} dev`);
    expect((await world.claim(address))?.node).toBe("n3");
    await n1.detach("dead");
    await n3.detach("alive");
    await n2.detach("watch");
  }, 120_000);
});
