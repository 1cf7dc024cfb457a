/** Reads keys of another program's etcd through its JSON gateway (etcd v3 API, /v3/kv/range): once, by hand, without a daemon. */
import { readFileSync } from "node:fs";
import { type IncomingMessage, request as plainRequest } from "node:http";
import { request as secureRequest } from "node:https";
import { callerFault, FaultError, worldFault } from "#base/fault.ts";

const readLimits = { millis: 10_000, answerOctets: 64 * 1024 * 1024 } as const;

export interface EtcdAccess {
  readonly endpoints: readonly string[];
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly user?: string;
  /** File with the password: none is taken from the command line, where everyone would see it. */
  readonly passwordFile?: string;
}

export interface EtcdKey {
  readonly key: string;
  readonly value: string;
}

export class EtcdReader {
  readonly #access: EtcdAccess;
  #token: string | undefined;

  constructor(access: EtcdAccess) {
    this.#access = access;
  }

  /** Every key that begins with `prefix`. Rejects with a FaultError after the last endpoint has failed. */
  async list(prefix: string): Promise<readonly EtcdKey[]> {
    if (this.#access.user !== undefined) this.#token ??= await this.#login(this.#access.user);
    const octets = Buffer.from(prefix),
      end = Buffer.from(octets);
    end[end.length - 1]!++;
    const answer = await this.#ask("/v3/kv/range", { key: octets.toString("base64"), range_end: end.toString("base64") });
    const { kvs = [] } = answer as { readonly kvs?: readonly { readonly key: string; readonly value?: string }[] };
    return kvs.map(({ key, value = "" }) => ({ key: Buffer.from(key, "base64").toString(), value: Buffer.from(value, "base64").toString() }));
  }

  async #login(name: string): Promise<string> {
    const file = this.#access.passwordFile;
    if (file === undefined)
      throw new FaultError(callerFault("cli.no-password", "--user needs --password-file: passwords are not taken from the command line."));
    const { token } = (await this.#ask("/v3/auth/authenticate", { name, password: readFileSync(file, "utf8").replace(/\n$/, "") })) as {
      readonly token: string;
    };
    return token;
  }

  async #ask(path: string, body: object): Promise<unknown> {
    const failures: string[] = [];
    for (const endpoint of this.#access.endpoints) {
      try {
        return await this.#askOne(new URL(path, endpoint), JSON.stringify(body));
      } catch (error) {
        failures.push(`${endpoint}: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
    throw new FaultError(worldFault("cli.etcd", `etcd does not answer: ${failures.join("; ")}`));
  }

  #askOne(url: URL, body: string): Promise<unknown> {
    const { ca, cert, key } = this.#access;
    const files = { ...(ca && { ca: readFileSync(ca) }), ...(cert && { cert: readFileSync(cert) }), ...(key && { key: readFileSync(key) }) };
    const headers = { "content-type": "application/json", ...(this.#token !== undefined && { authorization: this.#token }) };
    const options = { method: "POST", headers, timeout: readLimits.millis, ...files };
    return new Promise((resolve, reject) => {
      const asked = (url.protocol === "https:" ? secureRequest : plainRequest)(url, options, (answer) => void readJson(answer).then(resolve, reject));
      asked.on("timeout", () => asked.destroy(new Error(`no answer within ${readLimits.millis / 1000} s`)));
      asked.on("error", reject);
      asked.end(body);
    });
  }
}

async function readJson(answer: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let octets = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    octets += chunk.length;
    if (octets > readLimits.answerOctets) throw new Error("the answer is endless: is that etcd?");
    chunks.push(chunk);
  }
  const text = Buffer.concat(chunks).toString("utf8");
  let body: { readonly message?: string };
  try {
    body = JSON.parse(text) as typeof body;
  } catch {
    throw new Error(`it does not speak etcd's JSON (HTTP ${answer.statusCode ?? 0})`);
  }
  if (answer.statusCode !== 200) throw new Error(body.message ?? `HTTP ${answer.statusCode ?? 0}`);
  return body;
}
