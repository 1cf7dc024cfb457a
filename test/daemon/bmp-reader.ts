/** A monitoring station as the tests need one: it reads BMP octet by octet, independently of the encoder, and keeps what it is told. */
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";

export interface Told {
  readonly type: "route monitoring" | "statistics" | "peer down" | "peer up" | "initiation" | "termination" | "route mirroring";
  /** "loc-rib", or the peer's address; empty for messages about nobody. */
  readonly peer: string;
  readonly asn: number;
  readonly body: Buffer;
}

const types = ["route monitoring", "statistics", "peer down", "peer up", "initiation", "termination", "route mirroring"] as const;
const perPeerOctets = 42;

export class BmpReader {
  readonly told: Told[] = [];
  /** Connections so far. */
  visits = 0;
  #server: Server;
  #sockets = new Set<Socket>();
  #reads = true;

  private constructor(server: Server) {
    this.#server = server;
    server.on("connection", (socket) => this.#serve(socket));
  }

  static async listen(port = 0): Promise<BmpReader> {
    const server = createServer().listen(port, "127.0.0.1");
    const reader = new BmpReader(server);
    await new Promise((resolve) => server.once("listening", resolve));
    return reader;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }
  of(type: Told["type"], peer: string): readonly Told[] {
    return this.told.filter((one) => one.type === type && one.peer === peer);
  }
  /** Cuts every connection; the port stays open. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.told.length = 0;
  }
  /** From now on connections are accepted and not read. */
  stall(): void {
    this.#reads = false;
    for (const socket of this.#sockets) socket.pause();
  }
  resume(): void {
    this.#reads = true;
    for (const socket of this.#sockets) socket.resume();
  }
  close(): void {
    this.#server.close();
    this.cut();
  }

  #serve(socket: Socket): void {
    this.visits++;
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
    socket.on("error", () => {});
    let rest = Buffer.alloc(0);
    socket.on("data", (chunk: Buffer) => {
      rest = Buffer.concat([rest, chunk]);
      while (rest.length >= 6 && rest.length >= rest.readUInt32BE(1)) {
        const size = rest.readUInt32BE(1);
        this.told.push(read(rest.subarray(0, size)));
        rest = rest.subarray(size);
      }
    });
    if (!this.#reads) socket.pause();
  }
}

/** RFC 7854 §4.1, §4.2. */
function read(message: Buffer): Told {
  if (message[0] !== 3) throw new Error(`BMP version ${message[0]}`);
  const type = types[message[5]!];
  if (type === undefined) throw new Error(`BMP message type ${message[5]}`);
  if (type === "initiation" || type === "termination") return { type, peer: "", asn: 0, body: Buffer.from(message.subarray(6)) };
  const header = message.subarray(6, 6 + perPeerOctets),
    isIpv6 = (header[1]! & 0x80) !== 0 && header[0] === 0;
  const address = isIpv6 ? header.subarray(10, 26).toString("hex") : [...header.subarray(22, 26)].join(".");
  return { type, peer: header[0] === 3 ? "loc-rib" : address, asn: header.readUInt32BE(26), body: Buffer.from(message.subarray(6 + perPeerOctets)) };
}
