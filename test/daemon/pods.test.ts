/** A daemon, an etcd and pods' namespaces: attachments over the control socket as a CNI plugin asks for them. */
import { renameSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type AddressCheckView, type AddressView, type AllocationView, type AttachmentView, type PoolView, podPaths } from "#daemon/pod-control.ts";
import { controlPaths } from "#daemon/control.ts";
import { breaches, type JsonSchema } from "../api/json-schema.ts";
import { kernelMissing, Namespace } from "../contract/kernel-netns.ts";
import { DaemonProcess, until } from "./daemon-process.ts";
import { etcdStore, NodeWorld } from "./node-world.ts";

const document = (store: string): string => `podway: 1
name: t
asn: 64512
store: ${store}
reflection: off
pools:
  - { name: v4, cidr: 10.242.0.0/16, nodePrefix: 28, backend: host-gw, pods: { pair: v6, coolDown: 1s } }
  - { name: v6, cidr: "fdf2::/48", backend: host-gw }
  - name: tenant
    cidr: 10.243.0.0/16
    backend: host-gw
    pods: { namespaces: [blue], quota: { blue: 1 }, select: "namespace == 'blue'", keep: 0, coolDown: 0, gateway: 10.243.255.254 }
nodes:
  n1: { address: 10.0.0.21, address6: "fd00::21" }
`;

interface OpenApi {
  readonly paths: Readonly<
    Record<
      string,
      Readonly<Record<string, { readonly responses: { readonly 200: { readonly content: { readonly "application/json": { readonly schema: JsonSchema } } } } }>>
    >
  >;
  readonly components: { readonly schemas: Readonly<Record<string, JsonSchema>> };
}

interface Reply<T> {
  readonly status: number;
  readonly body: T & { readonly error?: { readonly code: string; readonly text: string } };
}

describe.skipIf(kernelMissing !== undefined)(`pods of a daemon${kernelMissing ?? ""}`, () => {
  let world: NodeWorld, daemon: DaemonProcess, pods: Namespace[];

  const ask = <T>(method: string, path: string, body?: unknown): Promise<Reply<T>> =>
    new Promise((resolve, reject) => {
      const sent = request({ socketPath: daemon.api, method, path }, (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("end", () => resolve({ status: response.statusCode!, body: JSON.parse(Buffer.concat(chunks).toString()) as Reply<T>["body"] }));
      });
      sent.on("error", reject);
      sent.end(body === undefined ? undefined : JSON.stringify(body));
    });
  const netns = (i: number): string => `/run/netns/${pods[i]!.name}`;
  const attach = (i: number, more: object = {}): Promise<Reply<AttachmentView>> =>
    ask("POST", podPaths.attachments, { containerId: `c${i}`, ifname: "eth0", netns: netns(i), ...more });
  const detach = (i: number): Promise<Reply<{ found: boolean }>> => ask("DELETE", `${podPaths.attachments}?containerId=c${i}&ifname=eth0`);
  const ready = (): Promise<unknown> =>
    until("pools are held", async () => {
      const { status, body } = await ask<readonly PoolView[]>("GET", podPaths.pools);
      return status === 200 && body.every(({ nodeCidr }) => nodeCidr !== null);
    });

  beforeAll(async () => {
    world = await NodeWorld.make("pods");
    world.namespace.ip("-6 addr add fd00::21/64 dev eth0 nodad");
    world.namespace.ip("route add default via 10.0.0.22");
    pods = ["a", "b", "c"].map((name) => new Namespace(`pods-${name}`));
    daemon = new DaemonProcess("n1", document(etcdStore(world.etcd.url)));
    daemon.start();
    await ready();
  });
  afterAll(async () => {
    await daemon.dispose();
    for (const pod of pods) pod.remove();
    await world.remove();
  });

  it("two pods of both families reach each other and the node; the same request again has the same answer", async () => {
    const [one, two] = await Promise.all([attach(0), attach(1)]);
    expect(one).toMatchObject({ status: 200, body: { routes: [{ gateway: "169.254.1.1" }, { gateway: "fe80::1" }] } });
    for (const { address } of two.body.addresses) expect(pods[0]!.exec(`ping -c1 -W2 ${address}`)).toContain("1 received");
    expect(pods[0]!.exec("ping -c1 -W2 10.0.0.21")).toContain("1 received");
    expect(await attach(0)).toEqual(one);
    expect((await ask("POST", podPaths.attachmentsCheck, { containerId: "c0", ifname: "eth0", netns: netns(0) })).status).toBe(200);
    const { body } = await ask<AddressCheckView>("POST", podPaths.addressesCheck, {});
    expect(body).toEqual({ checked: 4, findings: [] });
  });

  it("answers are as openapi.json describes them", async () => {
    const { body } = await ask<OpenApi>("GET", controlPaths.openapi);
    const lists = [podPaths.attachments, podPaths.addresses, podPaths.pools, podPaths.podsReady];
    for (const path of lists) {
      const schema = body.paths[path]!["get"]!.responses["200"].content["application/json"].schema;
      const reply = await ask("GET", path);
      expect([path, reply.status, breaches(reply.body, schema, body.components.schemas)]).toEqual([path, 200, []]);
    }
    for (const [path, more] of [
      [podPaths.attachments, { netns: netns(0) }],
      [podPaths.attachmentsCheck, {}],
      [podPaths.addresses, {}],
    ] as const) {
      const schema = body.paths[path]!["post"]!.responses["200"].content["application/json"].schema;
      const reply = await ask("POST", path, { containerId: "c0", ifname: "eth0", ...more });
      expect([path, reply.status, breaches(reply.body, schema, body.components.schemas)]).toEqual([path, 200, []]);
    }
  });

  it("what changed in the pod is told by a check, one sentence each", async () => {
    const { body } = await attach(0);
    pods[0]!.ip(`addr del ${body.addresses[0]!.address}/32 dev eth0`);
    const checked = await ask("POST", podPaths.attachmentsCheck, { containerId: "c0", ifname: "eth0", netns: netns(0) });
    expect(checked).toMatchObject({ status: 409, body: { error: { code: "attach.differs", text: `eth0 has no address ${body.addresses[0]!.address}` } } });
  });

  it("survives kill -9: the pods keep what they have, and nobody else gets it", async () => {
    const before = (await ask<readonly AttachmentView[]>("GET", podPaths.attachments)).body;
    expect(before).toHaveLength(2);
    await daemon.end("SIGKILL");
    daemon.start();
    await ready();
    expect((await ask<readonly AttachmentView[]>("GET", podPaths.attachments)).body).toEqual(before);
    expect(pods[1]!.exec("ping -c1 -W2 10.0.0.21")).toContain("1 received");
    const { body } = await attach(2);
    const all = [...before, body].flatMap(({ addresses }) => addresses.map(({ address }) => address));
    expect(new Set(all).size).toBe(6);
  });

  it("removes once and again; the owner's next pod has the address back, others have not", async () => {
    expect((await detach(2)).body).toEqual({ found: true });
    expect((await detach(2)).body).toEqual({ found: false });
    expect(pods[2]!.json("link show").map((link) => link["ifname"])).toEqual(["lo"]);
    const first = await attach(2, { owner: "shop/web-0" });
    await detach(2);
    const kept = (await ask<readonly AddressView[]>("GET", `${podPaths.addresses}?owner=shop/web-0`)).body;
    expect(kept.map(({ state }) => state)).toEqual(["kept", "kept"]);
    expect((await attach(2, { owner: "shop/db-0" })).body.addresses).not.toEqual(first.body.addresses);
    await detach(2);
    expect((await attach(2, { owner: "shop/web-0" })).body.addresses).toEqual(first.body.addresses);
    await detach(2);
  });

  it("namespace, quota, selector and a gateway of the pool's own", async () => {
    const blue = await attach(2, { namespace: "blue" });
    expect(blue.body.addresses).toMatchObject([{ pool: "tenant", gateway: "10.243.255.254" }]);
    expect(pods[2]!.exec("ping -c1 -W2 10.0.0.21")).toContain("1 received");
    const more = { containerId: "x", ifname: "eth0", pools: ["tenant"] };
    expect(await ask("POST", podPaths.addresses, { ...more, namespace: "blue" })).toMatchObject({ status: 409, body: { error: { code: "ipam.quota" } } });
    expect(await ask("POST", podPaths.addresses, { ...more, namespace: "red" })).toMatchObject({
      status: 403,
      body: { error: { code: "ipam.not-permitted" } },
    });
    await detach(2);
  });

  it("asked-for address and MAC, reserved ones, and sentences for what cannot be", async () => {
    const cidr = (await ask<readonly PoolView[]>("GET", podPaths.pools)).body[0]!.nodeCidr!;
    const address = cidr.replace(/\d+\/28$/, (last) => String(Number(last.split("/")[0]) + 9));
    await ask("POST", podPaths.addressesReserve, { address, owner: "shop/mail", reason: "the licence knows it" });
    expect(await attach(2, { addresses: [address] })).toMatchObject({ status: 409, body: { error: { code: "ipam.taken" } } });
    const mine = await attach(2, { addresses: [`${address}/24`], owner: "shop/mail", mac: "02:42:00:00:00:09" });
    expect(mine.body).toMatchObject({ mac: "02:42:00:00:00:09", addresses: [{ address }, {}] });
    expect(pods[2]!.json("link show dev eth0")[0]).toMatchObject({ address: "02:42:00:00:00:09" });
    await detach(2);
    expect((await ask<{ text: string }>("GET", `${podPaths.addressWho}?address=${address}`)).body.text).toContain("the licence knows it");
    await ask("POST", podPaths.addressesUnreserve, { address });
    expect(await attach(2, { netns: "/run/netns/t-none" })).toMatchObject({ status: 409, body: { error: { code: "attach.no-netns" } } });
    expect(await attach(2, { nonsense: 1 })).toMatchObject({ status: 400 });
    expect(await attach(2, { addresses: ["10.99.0.1"] })).toMatchObject({ status: 409, body: { error: { code: "ipam.not-in-pool" } } });
    expect(await ask("POST", podPaths.addresses, { containerId: "x", ifname: "eth0", pools: ["nope"] })).toMatchObject({ status: 404 });
  });

  it("a pod that another program made on a free address is seen, and gets its peace", async () => {
    const free = await ask<AllocationView>("POST", podPaths.addresses, { containerId: "probe", ifname: "eth0", pools: ["v4"] });
    const { address } = free.body.addresses[0]!;
    await ask("DELETE", `${podPaths.addresses}?containerId=probe&ifname=eth0`);
    world.namespace.ip("link add foreign0 type veth peer name foreign1");
    world.namespace.ip("link set foreign0 up");
    world.namespace.ip(`route add ${address}/32 dev foreign0`);
    expect(await attach(2, { addresses: [address], pools: ["v4"] })).toMatchObject({ status: 409, body: { error: { code: "ipam.taken" } } });
    expect((await ask<{ text: string }>("GET", `${podPaths.addressWho}?address=${address}`)).body.text).toContain("foreign0");
    world.namespace.ip("link del foreign0");
  });

  it("podway ip says who, keeps, checks, and exits 1 for what cannot be", async () => {
    const pool = (await ask<readonly PoolView[]>("GET", podPaths.pools)).body[0]!;
    const allocated = await daemon.podway("ip", "allocate", "byhand", "--pool", "v4", "--owner", "shop/hand");
    const address = allocated.out.split("/")[0]!;
    expect([allocated.code, pool.nodeCidr!.startsWith(address.split(".").slice(0, 2).join("."))]).toEqual([0, true]);
    expect((await daemon.podway("ip", "who", address)).out).toContain("is used by container byhand of shop/hand");
    expect((await daemon.podway("ip", "list", "--owner", "shop/hand")).out).toMatch(new RegExp(`${address} +used +shop/hand +byhand`));
    expect((await daemon.podway("ip", "release", address)).out).toBe(`${address} is released\n`);
    expect((await daemon.podway("ip", "reserve", address, "--reason", "for later")).code).toBe(0);
    expect(JSON.parse((await daemon.podway("ip", "list", "--json")).out)).toContainEqual(expect.objectContaining({ address, state: "reserved" }));
    expect((await daemon.podway("ip", "unreserve", address)).out).toBe(`${address} is free again\n`);
    expect((await daemon.podway("ip", "pools")).out).toContain(pool.nodeCidr);
    expect(await daemon.podway("ip", "who", "nonsense")).toMatchObject({ code: 1, err: expect.stringContaining("is not an IP address") as string });
    expect((await daemon.podway("ip", "check")).out).toContain("addresses in use");
  });

  it("the store shows what is taken, and a node without its journal gives none of it away", async () => {
    await until("the store follows", async () => {
      const held = (await ask<readonly AddressView[]>("GET", `${podPaths.addresses}?pool=v4`)).body.filter(({ state }) => state !== "cooling");
      const entry = JSON.parse(await world.etcd.ctl("get", "/podway/t/pods/v4/", "--prefix", "--print-value-only")) as { taken: string };
      const bits = [...Buffer.from(entry.taken, "base64")].reduce((sum, octet) => sum + octet.toString(2).replaceAll("0", "").length, 0);
      return bits === held.length;
    });
    const before = (await ask<readonly AddressView[]>("GET", podPaths.addresses)).body.filter(({ state }) => state === "used").map(({ address }) => address);
    await daemon.end("SIGKILL");
    renameSync(join(daemon.state, "pods.journal"), join(daemon.state, "kept.journal"));
    daemon.start();
    await ready();
    await until("set aside", async () => {
      const now = (await ask<readonly AddressView[]>("GET", podPaths.addresses)).body
        .filter(({ state }) => state === "quarantined")
        .map(({ address }) => address);
      return before.every((address) => now.includes(address));
    });
    await daemon.end("SIGKILL");
    renameSync(join(daemon.state, "kept.journal"), join(daemon.state, "pods.journal"));
    daemon.start();
    await ready();
  });

  it("a check finds what leaked and repairs it; garbage collection removes all but the living", async () => {
    await ask("POST", podPaths.addresses, { containerId: "ghost", ifname: "eth0" });
    const found = await ask<AddressCheckView>("POST", podPaths.addressesCheck, {});
    expect(found.body.findings.filter(({ kind }) => kind === "leak").map(({ text }) => text)).toHaveLength(2);
    await ask("POST", podPaths.addressesCheck, { repair: true });
    expect((await ask<AddressCheckView>("POST", podPaths.addressesCheck, {})).body.findings.filter(({ kind }) => kind === "leak")).toEqual([]);
    const swept = await ask("POST", podPaths.attachmentsCollect, { living: [{ containerId: "c1", ifname: "eth0" }] });
    expect(swept.body).toEqual({ removed: [{ containerId: "c0", ifname: "eth0" }], failures: [] });
    expect(pods[1]!.exec("ping -c1 -W2 10.0.0.21")).toContain("1 received");
  });
});
