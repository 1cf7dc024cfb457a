/**
 * One TCP connection over a descriptor of ours. Reads go into one buffer that all connections share (libuv fills it and calls
 * back before the next read, so a chunk is valid during the call only) and are bounded per turn of the event loop; writes are
 * handed on without a copy. `room` is told once per turn, so that a fast peer cannot keep timers and other peers waiting.
 */
import { Socket } from "node:net";
import { getSystemErrorMap } from "node:util";
import { familyOf, type Ip, parseIp } from "#base/ip.ts";
import type { Connection, ConnectionHandlers } from "#ports/net.ts";
import { setMd5, setMinTtl } from "./socket-options.ts";

export const connectionLimits = {
  /** One read: as much work as fits well into a slice of a few milliseconds. */
  readOctets: 64 * 1024,
  /** After so many octets in one turn a connection waits for the next (libuv alone would read 32 buffers in a row). */
  turnOctets: 256 * 1024,
} as const;

const shared = Buffer.allocUnsafeSlow(connectionLimits.readOctets);

export class TcpConnection implements Connection {
  readonly socket: Socket;
  readonly #fd: number;
  local = "" as Ip;
  remote = "" as Ip;
  localPort = 0;
  remotePort = 0;
  #handlers: ConnectionHandlers | undefined;
  #turnOctets = 0;
  #paused = false;
  #waiting = false;
  #roomOwed = false;
  #ending = false;
  #reason: string | undefined;
  #closed = false;

  /** Takes over `fd`, connected or about to be. */
  constructor(fd: number) {
    this.#fd = fd;
    const onread = { buffer: shared, callback: (size: number): boolean => this.#read(size) };
    this.socket = new Socket({ fd, onread, manualStart: true, allowHalfOpen: true } as ConstructorParameters<typeof Socket>[0]);
    this.socket.pause();
    this.socket.on("error", (error: NodeJS.ErrnoException) => (this.#reason ??= reasonOf(error)));
    this.socket.on("end", () => this.#peerClosed());
    this.socket.on("close", () => this.#close());
  }

  /** Call once connected: reads the addresses from the kernel. False if the connection is gone already. */
  identify(): boolean {
    const { localAddress, localPort, remoteAddress, remotePort } = this.socket;
    const local = withoutZone(localAddress),
      remote = withoutZone(remoteAddress);
    if (!local || !remote || localPort === undefined || remotePort === undefined) return false;
    [this.local, this.localPort, this.remote, this.remotePort] = [local, localPort, remote, remotePort];
    return true;
  }

  get handlers(): ConnectionHandlers | undefined {
    return this.#handlers;
  }
  /** Reading starts with the first handlers, so nothing arrives unheard. */
  set handlers(handlers: ConnectionHandlers | undefined) {
    const first = this.#handlers === undefined && handlers !== undefined;
    this.#handlers = handlers;
    if (!first) return;
    if (this.#closed) setImmediate(() => this.#handlers?.closed(this.#reason ?? "closed"));
    else this.#readOn();
  }

  get pending(): number {
    return this.socket.writableLength;
  }

  write(bytes: Uint8Array): void {
    if (this.socket.destroyed || this.#ending) return;
    this.socket.write(bytes, this.#wrote);
  }

  writeAll(pieces: readonly Uint8Array[]): void {
    if (pieces.length > 1) this.socket.cork();
    for (const piece of pieces) this.write(piece);
    if (pieces.length > 1) this.socket.uncork();
  }

  requireTtl(minTtl: number): void {
    if (!this.socket.destroyed) setMinTtl(this.#fd, familyOf(this.remote), minTtl);
  }

  changeMd5(key: Uint8Array): void {
    if (!this.socket.destroyed) setMd5(this.#fd, this.remote, key);
  }

  pause(): void {
    this.#paused = true;
    this.socket.pause();
  }
  resume(): void {
    this.#paused = false;
    this.#readOn();
  }

  end(graceMillis: number): void {
    if (this.#ending || this.socket.destroyed) return;
    this.#ending = true;
    this.#reason ??= "closed by us";
    const deadline = setTimeout(() => this.socket.destroy(), graceMillis);
    this.socket.once("close", () => clearTimeout(deadline));
    this.socket.end();
    // What still arrives is read and dropped: octets left unread would turn our FIN into a RST that overtakes the NOTIFICATION.
    this.resume();
  }

  destroy(): void {
    this.#reason ??= "closed by us";
    this.socket.destroy();
  }

  /** False tells Node to stop reading. */
  #read(size: number): boolean {
    if (this.#ending) return true;
    this.#handlers?.bytes(shared, 0, size);
    this.#turnOctets += size;
    if (this.#turnOctets < connectionLimits.turnOctets) return !this.#paused;
    if (!this.#waiting) setImmediate(this.#nextTurn);
    this.#waiting = true;
    return false;
  }

  readonly #nextTurn = (): void => {
    this.#waiting = false;
    this.#turnOctets = 0;
    this.#readOn();
  };

  #readOn(): void {
    if (!this.#paused && !this.#waiting && !this.socket.destroyed) this.socket.resume();
  }

  readonly #wrote = (error?: Error | null): void => {
    if (error || this.#roomOwed || this.#ending) return;
    this.#roomOwed = true;
    setImmediate(this.#tellRoom);
  };

  readonly #tellRoom = (): void => {
    this.#roomOwed = false;
    if (this.pending === 0 && !this.#ending && !this.socket.destroyed) this.#handlers?.room();
  };

  #peerClosed(): void {
    this.#reason ??= "closed by the peer";
    this.socket.destroy();
  }

  #close(): void {
    this.#closed = true;
    this.#handlers?.closed(this.#reason ?? "closed");
  }
}

const withoutZone = (text: string | undefined): Ip | undefined => (text === undefined ? undefined : parseIp(text.replace(/%.*$/, "")));

/** The kernel's own words for an error, for example `connection reset by peer`. */
export function reasonOf(error: NodeJS.ErrnoException): string {
  return (error.errno === undefined ? undefined : getSystemErrorMap().get(error.errno)?.[1]) ?? error.message;
}
