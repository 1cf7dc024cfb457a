/** A program that answers in a network namespace, and one that asks it: who reached whom, under which address. */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";

/** Says its name and who asks; over TCP and UDP of both families. */
const answering = `
const [, name, port] = process.argv, net = require("node:net"), dgram = require("node:dgram");
const plain = (address) => address.replace(/^::ffff:/, "");
const say = (address) => name + " " + plain(address);
net.createServer((socket) => socket.on("error", () => {}).end(say(socket.remoteAddress))).listen({ host: "::", port: Number(port) }, () => {
  const udp = dgram.createSocket("udp6");
  udp.on("message", (_, from) => udp.send(say(from.address), from.port, from.address)).bind(Number(port), "::", () => console.log("ready"));
});`;
const asking = `
const [, protocol, host, port] = process.argv;
const done = (text) => { console.log(text); process.exit(0); };
setTimeout(() => done("nobody"), 1500);
if (protocol === "tcp") {
  let text = "";
  require("node:net").connect({ host, port: Number(port) }).on("data", (chunk) => (text += chunk)).on("end", () => done(text)).on("error", () => done("nobody"));
} else {
  const socket = require("node:dgram").createSocket(host.includes(":") ? "udp6" : "udp4");
  socket.on("message", (text) => done(String(text))).on("error", () => done("nobody")).send("?", Number(port), host);
}`;

export interface Answering {
  stop(): Promise<void>;
}

/** Resolves once it listens. */
export function answer(namespace: string, name: string, port: number): Promise<Answering> {
  const child = run(namespace, answering, [name, String(port)]);
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  return new Promise((resolve, reject) => {
    child.once("close", () => reject(new Error(`${name} does not listen`)));
    createInterface({ input: child.stdout! }).once("line", () =>
      resolve({
        async stop() {
          child.kill("SIGKILL");
          await ended;
        },
      }),
    );
  });
}

/** What it says, or "nobody". */
export function ask(namespace: string, protocol: "tcp" | "udp", host: string, port: number): Promise<string> {
  const child = run(namespace, asking, [protocol, host, String(port)]);
  let out = "";
  child.stdout!.on("data", (chunk: Buffer) => (out += chunk.toString()));
  return new Promise((resolve) => child.once("close", () => resolve(out.trim())));
}

function run(namespace: string, program: string, args: readonly string[]): ChildProcess {
  return spawn("ip", ["netns", "exec", namespace, process.execPath, "-e", program, ...args], { stdio: ["ignore", "pipe", "inherit"] });
}
