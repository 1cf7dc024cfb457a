/**
 * One foreign speaker, one podwayd and our own clients around them:
 *
 *   client 1, 3 (clients of podwayd), 4 (its non-client) ── podwayd ══ speaker ── client 2 (client of the speaker)
 *
 * Client 1 and 2 see on the wire what went through both; the speaker's own tables are read as well.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Client, type ClientOptions } from "./client.ts";
import { Network } from "./network.ts";
import { type DocumentPeer, Podwayd, type PodwayOptions } from "./podwayd.ts";
import type { Place, Setup, Speaker } from "./speaker.ts";
import { Tap } from "./tap.ts";

export const ourAs = 65000;
export const outsideAs = 65100;
const ourHost = "pw";

export interface Scene {
  readonly setup?: Partial<Setup>;
  /** Keys of the peer in our document. */
  readonly peer?: Readonly<Record<string, unknown>>;
  /** Keys of our own clients in it. */
  readonly clients?: Readonly<Record<string, unknown>>;
  readonly document?: Partial<PodwayOptions>;
  /** AS of the speaker: ours (iBGP), or `outsideAs`. */
  readonly external?: true;
}

export class Bench {
  readonly network: Network;
  readonly podwayd: Podwayd;
  readonly speaker: Speaker;
  readonly tap: Tap;
  readonly #place: Place;
  readonly #clients = new Map<number, Client>();
  #setup: Setup | undefined;

  private constructor(network: Network, place: Place, speaker: Speaker) {
    this.network = network;
    this.#place = place;
    this.podwayd = new Podwayd(network, ourHost, join(place.directory, "podwayd"));
    this.speaker = speaker;
    this.tap = new Tap(network.namespace(ourHost), [network.address("sp"), network.address("sp", 6)]);
  }

  static async open(tag: string, directory: string, make: (place: Place) => Speaker): Promise<Bench> {
    const home = join(directory, tag);
    mkdirSync(home, { recursive: true });
    const network = await Network.open(tag, [ourHost, "sp"]);
    const place: Place = { network, host: "sp", ours: ourHost, directory: home };
    const bench = new Bench(network, place, make(place));
    await bench.tap.ready;
    return bench;
  }

  async close(): Promise<void> {
    await this.clear();
    await this.tap.close();
    await this.network.close();
  }

  get us(): ReturnType<Network["address"]> {
    return this.network.address(ourHost, this.#setup?.transport ?? 4);
  }
  get them(): ReturnType<Network["address"]> {
    return this.network.address("sp", this.#setup?.transport ?? 4);
  }
  get setup(): Setup {
    return this.#setup!;
  }

  /** Ends what runs and starts podwayd and the speaker as `scene` says. Sessions are for the caller to await. */
  async set(scene: Scene): Promise<void> {
    await this.clear();
    const theirAs = scene.external ? outsideAs : ourAs;
    const usual: Setup = { theirAs, ourAs, transport: 4, families: ["ipv4", "ipv6"], holdSeconds: 30, announces: [] };
    const asked = { ...usual, ...scene.setup },
      isOffered = (prefix: string): boolean => asked.families.includes(prefix.includes(":") ? "ipv6" : "ipv4");
    const setup = (this.#setup = { ...asked, announces: asked.announces.filter(({ prefixes }) => isOffered(prefixes[0]!)) });
    this.tap.begin();
    await Promise.all([this.podwayd.start(this.#document(scene, setup)), this.speaker.start(setup)]);
  }

  /** Ends clients, speaker and podwayd. */
  async clear(): Promise<void> {
    for (const client of this.#clients.values()) client.drop();
    this.#clients.clear();
    await Promise.all([this.podwayd.stop("SIGKILL"), this.speaker.stop("SIGKILL")]);
  }

  /** Our client `number`, connected: 1 and 3 as clients, 4 as non-client of podwayd, 2 as a client of the speaker. */
  async client(number: number, options: Partial<ClientOptions> = {}): Promise<Client> {
    const known = this.#clients.get(number);
    if (known) return known;
    const toSpeaker = number === 2,
      asn = toSpeaker ? this.setup.theirAs : ourAs;
    const client = new Client({
      namespace: this.network.bridge,
      local: this.network.client(number),
      remote: this.network.address(toSpeaker ? "sp" : ourHost),
      asn,
      peerAs: asn,
      ...options,
    });
    this.#clients.set(number, client);
    await client.connect();
    return client;
  }
  forget(number: number): void {
    this.#clients.get(number)?.drop();
    this.#clients.delete(number);
  }

  #document(scene: Scene, setup: Setup): PodwayOptions {
    const own = (number: number, client: boolean): DocumentPeer => ({
      name: `c${number}`,
      address: this.network.client(number),
      asn: ourAs,
      client,
      passive: true,
      families: ["ipv4", "ipv6"],
      ...scene.clients,
    });
    const external = setup.theirAs !== ourAs;
    const speaker: DocumentPeer = {
      name: "speaker",
      address: this.network.address("sp", setup.transport),
      asn: setup.theirAs,
      families: setup.families,
      holdTime: setup.holdSeconds,
      connectRetry: "1s",
      ...(external ? { import: ["all"], export: ["all"] } : { client: true }),
      ...(setup.transport === 6 && !external && { source: this.network.address(ourHost, 6) }),
      ...(setup.gtsm && { ttlSecurity: 1 }),
      ...(setup.md5 !== undefined && { password: { file: this.secret(setup.md5) } }),
      ...(setup.restartSeconds === undefined && { gracefulRestart: "off" }),
      ...scene.peer,
    };
    return { asn: ourAs, peers: [own(1, true), own(3, true), own(4, false), speaker], ...scene.document };
  }

  /** A file that holds `secret`, as the document names them. */
  secret(secret: string): string {
    const file = join(this.#place.directory, `secret-${secret}`);
    writeFileSync(file, `${secret}\n`, { mode: 0o600 });
    return file;
  }
}
