/** Requests to a daemon by its control socket; every way in which that can fail is one sentence. */
import { type IncomingMessage, request } from "node:http";
import { callerFault, FaultError, worldFault } from "#base/fault.ts";

/** The daemon answers within 30 s or says why not; the largest answer (10 000 routes) is some 5 MB. */
const clientLimits = { millis: 40_000, answerOctets: 64 * 1024 * 1024 } as const;

export type Query = Readonly<Record<string, string | number | boolean | undefined>>;

export class DaemonClient {
  readonly socket: string;

  /** `socket`: path of the unix socket. Nothing is opened before the first request. */
  constructor(socket: string) {
    this.socket = socket;
  }

  /** The JSON answer of a GET. Rejects with a FaultError. */
  async get(path: string, query: Query = {}): Promise<unknown> {
    return this.#ask("GET", withQuery(path, query));
  }

  /** The JSON answer of a POST of `body` as JSON, or of nothing. Rejects with a FaultError. */
  async post(path: string, body: unknown, query: Query = {}): Promise<unknown> {
    return this.#ask("POST", withQuery(path, query), body === undefined ? undefined : JSON.stringify(body));
  }

  /** The JSON answer of a DELETE. Rejects with a FaultError. */
  async delete(path: string, query: Query = {}): Promise<unknown> {
    return this.#ask("DELETE", withQuery(path, query));
  }

  #ask(method: string, path: string, body?: string): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const headers = { host: "podwayd", ...(body !== undefined && { "content-type": "application/json", "content-length": Buffer.byteLength(body) }) };
      const asked = request({ socketPath: this.socket, method, path, headers, agent: false, timeout: clientLimits.millis }, (answer) => {
        this.#read(answer).then(resolve, reject);
      });
      asked.on("timeout", () => asked.destroy(Object.assign(new Error("timeout"), { code: "ETIMEDOUT" })));
      asked.on("error", (error: NodeJS.ErrnoException) => reject(new FaultError(this.#unreachable(error), error)));
      asked.end(body);
    });
  }

  async #read(answer: IncomingMessage): Promise<unknown> {
    const chunks: Buffer[] = [];
    let octets = 0;
    try {
      for await (const chunk of answer as AsyncIterable<Buffer>) {
        octets += chunk.length;
        if (octets > clientLimits.answerOctets) throw new FaultError(worldFault("cli.bad-answer", `the answer of ${this.socket} is endless: is that podwayd?`));
        chunks.push(chunk);
      }
    } catch (error) {
      throw error instanceof FaultError ? error : new FaultError(this.#unreachable(error as NodeJS.ErrnoException), error);
    }
    const body = parse(Buffer.concat(chunks).toString("utf8"));
    if (body === undefined) throw new FaultError(worldFault("cli.bad-answer", `what listens at ${this.socket} does not speak JSON: is that podwayd?`));
    if (answer.statusCode === 200) return body;
    throw new FaultError(this.#refusal(answer.statusCode ?? 0, body));
  }

  /** The daemon's own fault, as it came. */
  #refusal(status: number, body: unknown): FaultError["fault"] {
    const { error } = body as { error?: { code?: unknown; text?: unknown } };
    if (typeof error?.code !== "string" || typeof error.text !== "string") {
      return worldFault("cli.bad-answer", `what listens at ${this.socket} answered with status ${status} and no reason: is that podwayd?`);
    }
    return status < 500 ? callerFault(error.code, error.text) : worldFault(error.code, error.text);
  }

  #unreachable(error: NodeJS.ErrnoException): FaultError["fault"] {
    const at = this.socket;
    switch (error.code) {
      case "ENOENT":
      case "ECONNREFUSED":
      case "ENOTDIR":
        return worldFault("cli.unreachable", `no podwayd listens at ${at}: start it (systemctl start podwayd), or name its socket with --api or PODWAY_API.`);
      case "EACCES":
      case "EPERM":
        return worldFault("cli.no-permission", `you may not open ${at}: join the group podway (usermod -aG podway USER, then log in again), or use sudo.`);
      case "ETIMEDOUT":
        return worldFault(
          "cli.unreachable",
          `podwayd at ${at} gave no answer within ${clientLimits.millis / 1000} s: its log says what it does (journalctl -u podwayd).`,
        );
      case "ENOTSOCK":
      case "EINVAL":
        return worldFault("cli.unreachable", `${at} is no socket of podwayd: name the right one with --api or PODWAY_API.`);
      default:
        return worldFault(
          "cli.unreachable",
          `podwayd at ${at} broke the connection off (${error.message}): ask again, or see its log (journalctl -u podwayd).`,
        );
    }
  }
}

function withQuery(path: string, query: Query): string {
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) given.set(name, String(value));
  return given.size === 0 ? path : `${path}?${given.toString()}`;
}

function parse(text: string): object | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}
