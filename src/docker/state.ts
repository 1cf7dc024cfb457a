/**
 * What dockerd tells once and never again: its networks and endpoints. It repeats neither when it or we start anew, so they are on the
 * disk before dockerd is answered. Addresses and links are not here: the daemon's journal has them.
 */
import { readFile, rename } from "node:fs/promises";
import { writeFileAtomic } from "#adapters/files.ts";
import { FaultError, worldFault } from "#base/fault.ts";
import type { Ip } from "#base/ip.ts";
import type { Prefix } from "#base/prefix.ts";

const schema = 1;

export interface NetworkRecord {
  /** Each network has its own: it makes the gateways of its links. */
  readonly number: number;
  /** One of a family; empty: no way out (`--internal`). */
  readonly gateways: readonly Ip[];
  readonly isInternal: boolean;
  /** Subnets it was created with, for addresses that it leaves to us. */
  readonly cidrs: readonly Prefix[];
  readonly mtu?: number;
  readonly namespace?: string;
}
export interface EndpointRecord {
  readonly network: string;
  readonly addresses: readonly Ip[];
  /** Pools of them: reached by this link rather than by another of the container's. */
  readonly pools: readonly Prefix[];
  /** The container's end, in this namespace until dockerd moves it. */
  readonly device: string;
  readonly hostDevice: string;
  /** Path of the sandbox it is joined to, and the destinations its links were given there. */
  readonly sandbox?: string;
  readonly routes?: readonly Prefix[];
}
export interface Content {
  readonly schema: typeof schema;
  readonly networks: Readonly<Record<string, NetworkRecord>>;
  readonly endpoints: Readonly<Record<string, EndpointRecord>>;
}

const empty: Content = { schema, networks: {}, endpoints: {} };

export class DockerState {
  readonly #path: string;
  #content: Content;
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(path: string, content: Content) {
    this.#path = path;
    this.#content = content;
  }

  /** A file that cannot be understood is put aside; `damage` says so in one sentence. */
  static async open(path: string): Promise<{ readonly state: DockerState; readonly damage: string | undefined }> {
    const text = await readFile(path, "utf8").catch((cause: NodeJS.ErrnoException) => (cause.code === "ENOENT" ? undefined : ""));
    const content = text === undefined ? empty : read(text);
    if (content !== undefined) return { state: new DockerState(path, content), damage: undefined };
    const aside = `${path}.damaged`;
    await rename(path, aside).catch(() => undefined);
    const damage = `${path} cannot be read and was moved to ${aside}: Docker's networks on Podway have to be removed and created again`;
    return { state: new DockerState(path, empty), damage };
  }

  get content(): Content {
    return this.#content;
  }

  /**
   * One change after another; on the disk when it resolves. Rejects with a FaultError, and nothing is changed, if it cannot be
   * written; `apply` may throw one too. The same content back: nothing is written.
   */
  update(apply: (content: Content) => Content): Promise<void> {
    const turn = this.#turn.then(async () => {
      const after = apply(this.#content);
      if (after === this.#content) return;
      try {
        await writeFileAtomic(this.#path, `${JSON.stringify(after)}\n`);
      } catch (cause) {
        const reason = (cause as Error).message;
        throw new FaultError(worldFault("docker.state", `what Docker asks for cannot be written down: ${reason}; make room in the state directory`), cause);
      }
      this.#content = after;
    });
    this.#turn = turn.catch(() => undefined);
    return turn;
  }
}

/** `record` undefined: without it. */
export function withNetwork(content: Content, id: string, record: NetworkRecord | undefined): Content {
  const { [id]: before, ...others } = content.networks;
  if (record === undefined && before === undefined) return content;
  return { ...content, networks: record === undefined ? others : { ...others, [id]: record } };
}
export function withEndpoint(content: Content, id: string, record: EndpointRecord | undefined): Content {
  const { [id]: before, ...others } = content.endpoints;
  if (record === undefined && before === undefined) return content;
  return { ...content, endpoints: record === undefined ? others : { ...others, [id]: record } };
}

function read(text: string): Content | undefined {
  try {
    const content = JSON.parse(text) as Content;
    return content.schema === schema && typeof content.networks === "object" && typeof content.endpoints === "object" ? content : undefined;
  } catch {
    return undefined;
  }
}
