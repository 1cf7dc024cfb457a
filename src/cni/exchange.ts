/** One HTTP exchange with the daemon over its socket, and the faults a runtime is told. Installed as one file with plugin.ts. */
import { connect } from "node:net";

/** A runtime gives up after minutes; the daemon answers in milliseconds or is not well. */
const answerMillis = 30_000;
/** Codes of the specification, and from 100 on our own. */
export const code = { version: 1, field: 2, container: 3, environment: 4, io: 5, decode: 6, config: 7, later: 11, notAvailable: 50 };
export const codeOf: Readonly<Record<string, number>> = {
  "ipam.try-later": code.later,
  "ipam.exhausted": 101,
  "ipam.taken": 102,
  "ipam.not-in-pool": 103,
  "ipam.no-such-pool": code.config,
  "ipam.not-permitted": 104,
  "ipam.quota": 105,
  "ipam.unknown": 106,
  "attach.no-netns": code.container,
  "attach.exists": 107,
  "attach.differs": 108,
  "attach.failed": 109,
  "attach.port-taken": 111,
};

export class CniError extends Error {
  readonly code: number;
  readonly details: string;
  constructor(number: number, text: string, details = "") {
    super(text);
    this.code = number;
    this.details = details;
  }
}

/** Nothing listens at the socket. */
export class NoDaemon extends CniError {}

/** HTTP/1.1 over the unix socket by hand: `node:http` costs a runtime ten milliseconds a call. */
export function exchange(path: string, method: string, target: string, body?: object): Promise<{ readonly status: number; readonly text: string }> {
  const content = body === undefined ? "" : JSON.stringify(body);
  const head = [
    `${method} ${target} HTTP/1.1`,
    "host: podwayd",
    "connection: close",
    `content-length: ${Buffer.byteLength(content)}`,
    "content-type: application/json",
  ];
  return new Promise((resolve, reject) => {
    const later = (text: string): void => reject(new CniError(code.later, text));
    const socket = connect(path);
    const chunks: Buffer[] = [];
    socket.setTimeout(answerMillis, () => socket.destroy(new Error(`podwayd at ${path} has not answered for ${answerMillis / 1000} s`)));
    socket.on("connect", () => socket.write(`${head.join("\r\n")}\r\n\r\n${content}`));
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOENT" && error.code !== "ECONNREFUSED") return later(`podwayd at ${path}: ${error.message}`);
      reject(new NoDaemon(code.later, `podwayd does not run: nothing listens at ${path}`));
    });
    socket.on("end", () => {
      const answer = readAnswer(Buffer.concat(chunks));
      if (answer) resolve(answer);
      else later(`podwayd at ${path} ended in the middle of its answer`);
    });
  });
}

/** Status and body; undefined if it is not whole. */
function readAnswer(bytes: Buffer): { readonly status: number; readonly text: string } | undefined {
  const headEnd = bytes.indexOf("\r\n\r\n");
  if (headEnd < 0) return undefined;
  const head = bytes.toString("latin1", 0, headEnd),
    rest = bytes.subarray(headEnd + 4);
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1] ?? 0);
  if (/^transfer-encoding: chunked$/im.test(head)) {
    const whole = unchunked(rest);
    return whole && { status, text: whole.toString("utf8") };
  }
  const length = Number(/^content-length: (\d+)$/im.exec(head)?.[1] ?? rest.length);
  return rest.length < length ? undefined : { status, text: rest.toString("utf8", 0, length) };
}

/** RFC 9112 §7.1, without trailers. */
function unchunked(bytes: Buffer): Buffer | undefined {
  const parts: Buffer[] = [];
  for (let at = 0; ;) {
    const lineEnd = bytes.indexOf("\r\n", at);
    if (lineEnd < 0) return undefined;
    const size = parseInt(bytes.toString("latin1", at, lineEnd), 16);
    if (size === 0) return Buffer.concat(parts);
    if (!(size > 0) || lineEnd + 2 + size > bytes.length) return undefined;
    parts.push(bytes.subarray(lineEnd + 2, lineEnd + 2 + size));
    at = lineEnd + 4 + size;
  }
}
