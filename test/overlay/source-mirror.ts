/**
 * Two ends of a test of sources. `serve ADDRESS…`: answers every datagram with the address it came from, on three ports per address;
 * prints a line when it listens. `ask ADDRESS PORT FROM COUNT`: sends COUNT datagrams, each from a port of its own, and prints the
 * distinct answers as JSON; a question without an answer within two seconds is `none`.
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";

export const mirrorPorts = [7000, 7001, 7002] as const;
const [mode, ...rest] = process.argv.slice(2);
const kindOf = (address: string): "udp4" | "udp6" => (address.includes(":") ? "udp6" : "udp4");

if (mode === "serve") await serve(rest);
else if (mode === "ask") await ask(rest[0]!, Number(rest[1]), rest[2]!, Number(rest[3]));

async function serve(addresses: readonly string[]): Promise<void> {
  for (const address of addresses) {
    for (const port of mirrorPorts) {
      const socket = createSocket(kindOf(address));
      socket.on("message", (_, from) => socket.send(from.address, from.port, from.address));
      socket.bind(port, address);
      await once(socket, "listening");
    }
  }
  console.log("listening");
}

async function ask(address: string, port: number, from: string, count: number): Promise<void> {
  const answers = new Set<string>();
  for (let i = 0; i < count; i++) answers.add(await askOnce(address, port, from));
  console.log(JSON.stringify([...answers].toSorted()));
}

async function askOnce(address: string, port: number, from: string): Promise<string> {
  const socket = createSocket(kindOf(address)),
    answer = Promise.withResolvers<string>();
  socket.on("message", (said) => answer.resolve(String(said)));
  socket.bind(0, from);
  await once(socket, "listening");
  const late = setTimeout(() => answer.resolve("none"), 2000);
  socket.send("?", port, address);
  const said = await answer.promise;
  clearTimeout(late);
  socket.close();
  return said;
}
