/**
 * ExaBGP's helper process: what ExaBGP tells on standard input is appended to a file, what is written to a unix socket is a
 * command to ExaBGP. Arguments: the file, the socket.
 */
import { appendFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";

const [file, socket] = process.argv.slice(2) as [string, string];
process.stdin.on("data", (chunk: Buffer) => appendFileSync(file, chunk));
process.stdin.on("end", () => process.exit(0));
rmSync(socket, { force: true });
createServer((caller) => caller.on("data", (line: Buffer) => process.stdout.write(line))).listen(socket);
