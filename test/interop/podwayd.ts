/** The daemon under test as a person runs it: a document, a process, its control socket. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { awaitFact } from "#lab/command.ts";
import { getJson } from "#lab/daemon-client.ts";
import type { PeerView, RouteView } from "#daemon/control.ts";
import type { Network } from "./network.ts";
import { Program } from "./program.ts";

const program = fileURLToPath(new URL("../../deploy/bin/podwayd.mjs", import.meta.url));
const readyMillis = 20_000;

export interface DocumentPeer {
  readonly name: string;
  readonly address: string;
  readonly asn: number;
  readonly [key: string]: unknown;
}

export interface PodwayOptions {
  readonly asn: number;
  readonly clusterId?: string;
  readonly peers: readonly DocumentPeer[];
  readonly [key: string]: unknown;
}

export class Podwayd {
  readonly directory: string;
  readonly #network: Network;
  readonly #host: string;
  #running: Program | undefined;
  #document: PodwayOptions | undefined;

  constructor(network: Network, host: string, directory: string) {
    this.#network = network;
    this.#host = host;
    this.directory = directory;
    mkdirSync(directory, { recursive: true });
  }

  /** A reflector with these peers, remembering nothing of an earlier run. Returns when its control socket answers. */
  async start({ peers, clusterId, ...document }: PodwayOptions): Promise<void> {
    await this.stop();
    rmSync(join(this.directory, "state"), { recursive: true, force: true });
    const address = this.#network.address(this.#host),
      address6 = this.#network.address(this.#host, 6);
    const nodes = { rr: { address, address6, routerId: address, clusterId: clusterId ?? address, roles: ["reflector"] } };
    this.#document = { podway: 1, name: "interop", store: "none", ...document, nodes, peers };
    this.#write();
    await this.resume();
  }

  /** Changes the document under the running daemon and tells it so (SIGHUP). */
  rewrite(change: (document: PodwayOptions) => PodwayOptions): void {
    this.#document = change(this.#document!);
    this.#write();
    this.signal("SIGHUP");
  }

  /** JSON is YAML. */
  #write(): void {
    writeFileSync(join(this.directory, "topology.yaml"), JSON.stringify(this.#document, undefined, 1));
  }

  /** Starts it again with the same document and what it left in its state directory. */
  async resume(): Promise<void> {
    const argv = [process.execPath, program, "--topology", "topology.yaml", "--node", "rr", "--api", this.socket, "--state", "state", "--log", "debug"];
    const started = new Program(argv, { name: "podwayd", namespace: this.#network.namespace(this.#host), directory: this.directory });
    this.#running = started;
    const ready = await awaitFact(async () => started.ended ?? ((await getJson(this.socket, "/v1/status")).ok ? "ready" : undefined), {
      millis: readyMillis,
      everyMillis: 30,
    });
    if (ready !== "ready") throw new Error(`podwayd is not ready (${ready ?? "silent"}): ${started.tail()}`);
  }

  get socket(): string {
    return join(this.directory, "api.sock");
  }
  signal(signal: NodeJS.Signals): void {
    this.#running?.signal(signal);
  }
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    await this.#running?.stop(signal);
    this.#running = undefined;
  }

  async peer(name: string): Promise<PeerView> {
    const found = await this.#find(name);
    if (!found) throw new Error(`podwayd has no peer ${name}`);
    return found;
  }
  async routes(query: string): Promise<readonly RouteView[]> {
    return (await this.#get<{ routes: RouteView[] }>(`/v1/routes?${query}`)).routes;
  }

  /** Polls a peer until `look` is true of it; says `what` was waited for, and what there is instead. */
  async until(name: string, what: string, look: (peer: PeerView) => boolean, millis = 15_000): Promise<PeerView> {
    let last: PeerView | undefined;
    const seen = await awaitFact(async () => ((last = await this.#find(name)) && look(last) ? last : undefined), { millis, everyMillis: 50 });
    if (!seen)
      throw new Error(
        `waited ${millis / 1000} s until ${name} ${what}; it is ${last?.state}: ${last?.reason} (${last?.accepted} accepted, ${last?.stale} stale)`,
      );
    return seen;
  }
  established(name: string, millis?: number): Promise<PeerView> {
    return this.until(name, "is Established", ({ state }) => state === "Established", millis);
  }

  /** Undefined while it has not come to its peers yet: its control socket answers first. */
  async #find(name: string): Promise<PeerView | undefined> {
    return (await this.#get<PeerView[]>("/v1/peers")).find((peer) => peer.name === name);
  }

  async #get<T>(path: string): Promise<T> {
    const answer = await getJson<T>(this.socket, path);
    if (!answer.ok) throw new Error(answer.fault.text);
    return answer.value;
  }
}
