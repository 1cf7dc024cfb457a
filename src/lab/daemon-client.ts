/** GET of one path of a daemon's control socket (src/daemon/control.ts), for readiness, leases and expectations. */
import { request } from "node:http";
import { failed, ok, type Outcome, type WorldFault, worldFault } from "#base/fault.ts";

const clientLimits = { answerOctets: 32 * 1024 * 1024, millis: 3_000 } as const;

/** The JSON answer, or why there is none. */
export function getJson<T>(socket: string, path: string): Promise<Outcome<T, WorldFault>> {
  return new Promise((resolve) => {
    const refuse = (why: string): void => resolve(failed(worldFault("lab.daemon", `the daemon at ${socket} gave no answer to ${path}: ${why}`)));
    const asked = request({ socketPath: socket, path, timeout: clientLimits.millis }, (response) => {
      const chunks: Buffer[] = [];
      let octets = 0;
      response.on("data", (chunk: Buffer) => {
        octets += chunk.length;
        if (octets > clientLimits.answerOctets) asked.destroy(new Error("the answer is too long"));
        else chunks.push(chunk);
      });
      response.on("error", (error) => refuse(error.message));
      response.on("end", () => {
        const text = Buffer.concat(chunks).toString("utf8");
        const value = response.statusCode === 200 ? parse(text) : undefined;
        if (value === undefined) refuse(`status ${response.statusCode}, "${text.slice(0, 200)}"`);
        else resolve(ok(value as T));
      });
    });
    asked.on("timeout", () => asked.destroy(new Error(`nothing within ${clientLimits.millis / 1000} s`)));
    asked.on("error", (error) => refuse(error.message));
    asked.end();
  });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
