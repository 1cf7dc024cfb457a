/** Ten thousand random steps on a daemon, against a model: what was handed out, to whom, and that it is nobody else's. Crashes included. */
import { type AddressView, type AllocationView, type CollectView, podPaths } from "#daemon/pod-control.ts";
import { Namespace } from "../contract/kernel-netns.ts";
import type { DoorRow } from "./docker.ts";
import { PodNode } from "./pod-node.ts";

const steps = Number(process.env["STEPS"] ?? 10_000),
  containers = 48,
  namespaces = 3;

/** Numerical Recipes' generator: the same steps for the same seed. */
class Chance {
  #state: number;
  constructor(seed: number) {
    this.#state = seed >>> 0;
  }
  below(limit: number): number {
    this.#state = (Math.imul(this.#state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((this.#state / 2 ** 32) * limit);
  }
}

class Model {
  readonly held = new Map<string, readonly string[]>();
  readonly done = new Map<string, number>();
  readonly #node: PodNode;
  readonly #pods: readonly Namespace[];
  readonly #chance: Chance;

  constructor(node: PodNode, pods: readonly Namespace[], chance: Chance) {
    this.#node = node;
    this.#pods = pods;
    this.#chance = chance;
  }

  async step(): Promise<void> {
    const dice = this.#chance.below(10_000);
    const [name, work] =
      dice < 4200
        ? (["ADD", () => this.#add(this.#id())] as const)
        : dice < 8400
          ? (["DEL", () => this.#del(this.#id())] as const)
          : dice < 9700
            ? (["CHECK", () => this.#check()] as const)
            : dice < 9975
              ? (["GC", () => this.#collect()] as const)
              : (["kill -9", () => this.#crash()] as const);
    this.done.set(name, (this.done.get(name) ?? 0) + 1);
    await work();
  }

  /** Ids below `namespaces` have a namespace and a link, the others addresses alone. */
  #id(): string {
    return `c${this.#chance.below(containers)}`;
  }
  #pod(id: string): Namespace | undefined {
    return this.#pods[Number(id.slice(1))];
  }

  async #add(id: string): Promise<void> {
    const pod = this.#pod(id),
      key = { containerId: id, ifname: "eth0", network: "net" };
    const path = pod === undefined ? podPaths.addresses : podPaths.attachments;
    const { status, body } = await this.#node.ask<AllocationView>("POST", path, { ...key, ...(pod && { netns: `/run/netns/${pod.name}` }) });
    if (status !== 200) throw new Error(`ADD ${id}: ${status} ${body.error?.text}`);
    const addresses = body.addresses.map(({ address }) => address),
      had = this.held.get(id);
    if (had !== undefined && had.join() !== addresses.join()) throw new Error(`ADD ${id} again: ${had.join()} became ${addresses.join()}`);
    for (const [other, its] of this.held)
      if (other !== id && its.some((address) => addresses.includes(address))) throw new Error(`${addresses.join()} of ${id} is ${other}'s`);
    this.held.set(id, addresses);
  }
  async #del(id: string): Promise<void> {
    const path = this.#pod(id) === undefined ? podPaths.addresses : podPaths.attachments;
    const { status, body } = await this.#node.ask("DELETE", `${path}?containerId=${id}&ifname=eth0`);
    if (status !== 200) throw new Error(`DEL ${id}: ${status} ${body.error?.text}`);
    this.held.delete(id);
  }
  async #check(): Promise<void> {
    const { body } = await this.#node.ask<readonly AddressView[]>("GET", podPaths.addresses);
    const used = new Map(body.filter(({ state }) => state === "used").map(({ address, containerId }) => [address, containerId]));
    for (const [id, addresses] of this.held)
      for (const address of addresses) if (used.get(address) !== id) throw new Error(`${address} of ${id} is ${used.get(address)}'s`);
    if (used.size !== [...this.held.values()].flat().length) throw new Error(`${used.size} are used, ${[...this.held.values()].flat().length} were handed out`);
  }
  async #collect(): Promise<void> {
    const living = [...this.held.keys()].filter(() => this.#chance.below(4) > 0);
    const { status, body } = await this.#node.ask<CollectView>("POST", podPaths.attachmentsCollect, {
      network: "net",
      living: living.map((containerId) => ({ containerId, ifname: "eth0" })),
    });
    if (status !== 200 || body.failures.length > 0) throw new Error(`GC: ${status} ${body.failures?.join("; ")}`);
    for (const id of this.held.keys()) if (!living.includes(id)) this.held.delete(id);
  }
  /** While a request is on its way: it happened or it did not, and saying it again settles which. */
  async #crash(): Promise<void> {
    const id = this.#id(),
      adding = this.#chance.below(2) === 0;
    const sent = (adding ? this.#add(id) : this.#del(id)).catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, this.#chance.below(8)));
    await this.#node.daemon.end("SIGKILL");
    await sent;
    await this.#node.start();
    await (adding ? this.#add(id) : this.#del(id));
    await this.#check();
  }

  async quiet(): Promise<void> {
    for (const id of this.held.keys()) await this.#del(id);
    await this.#check();
    const links = this.#node.world.namespace.json("link show").filter(({ ifname }) => /^p[wc][0-9a-f]{11}$/.test(String(ifname)));
    if (links.length > 0) throw new Error(`${links.length} links are left`);
  }
}

export async function judgeModel(told: (row: DoorRow) => void): Promise<readonly DoorRow[]> {
  const seed = Number(process.env["SEED"] ?? 1);
  const node = await PodNode.make("model"),
    pods = Array.from({ length: namespaces }, (_, i) => new Namespace(`model-${i}`));
  const model = new Model(node, pods, new Chance(seed));
  let seen: string,
    passed = true,
    step = 0;
  try {
    for (; step < steps; step++) await model.step();
    await model.quiet();
    seen = `${steps} steps (${[...model.done].map(([name, count]) => `${count} ${name}`).join(", ")}): no address twice, nothing left once quiet`;
  } catch (cause) {
    passed = false;
    seen = `seed ${seed}, step ${step}: ${(cause as Error).message}`;
  } finally {
    for (const pod of pods) pod.remove();
    await node.remove();
  }
  const row = { door: "daemon", what: "random ADD, DEL, CHECK, GC and crashes against a model", seen, passed };
  told(row);
  return [row];
}
