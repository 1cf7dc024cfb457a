/**
 * TCP as the speaker needs it: options set before connect and listen, chunks up in one shared buffer, room down.
 * Handlers are called synchronously; a chunk is valid only during the call.
 */
import type { Ip } from "#base/ip.ts";
import type { Prefix } from "#base/prefix.ts";

export interface SocketOptions {
  readonly source?: Ip;
  /** Outgoing TTL / hop limit. */
  readonly ttl?: number;
  /** Least TTL accepted (GTSM). */
  readonly minTtl?: number;
  readonly device?: string;
  /** TCP-MD5 key (RFC 2385), as read from its file; never logged. */
  readonly md5?: Uint8Array;
}

export interface ConnectionHandlers {
  /** Octets arrived: buffer[start, end). Valid only during the call. */
  bytes(buffer: Uint8Array, start: number, end: number): void;
  /** What was written has left for the kernel: there is room again. */
  room(): void;
  /** The connection ended; called once, last. `text` says why in a few words (`connection reset by peer`). */
  closed(text: string): void;
}

export interface Connection {
  readonly local: Ip;
  readonly remote: Ip;
  readonly localPort: number;
  readonly remotePort: number;
  handlers: ConnectionHandlers | undefined;
  /** Octets handed over and not yet taken by the kernel. */
  readonly pending: number;
  /** From now on the kernel drops what arrives with a TTL or hop limit below this (GTSM). */
  requireTtl(minTtl: number): void;
  /** Another TCP-MD5 key for a connection that has one; throws if the kernel refuses. What either side sent meanwhile TCP sends again. */
  changeMd5(key: Uint8Array): void;
  /** Hands octets over. The buffer must not change until `room` is called after it. */
  write(bytes: Uint8Array): void;
  /** The same for several pieces, handed to the kernel together. */
  writeAll(pieces: readonly Uint8Array[]): void;
  /** Stops and goes on reading (back-pressure). */
  pause(): void;
  resume(): void;
  /** Sends what is pending, then FIN; destroys after `graceMillis` whatever the peer does. */
  end(graceMillis: number): void;
  /** RST or silent close, now. */
  destroy(): void;
}

export interface Listener {
  /** A new or changed key for an address or a prefix of dynamic neighbours. */
  setMd5(peer: Ip | Prefix, key: Uint8Array | undefined): void;
  close(): void;
}

export interface Net {
  /** Resolves when connected; rejects with a FaultError (`net.refused`, `net.unreachable`, `net.timeout`, ...) whose text names the reason. */
  connect(peer: Ip, port: number, options: SocketOptions, signal: AbortSignal): Promise<Connection>;
  /** `address` undefined: every address of both families. Rejects with `net.port-taken`, whose text names the holder if it can be known. */
  listen(
    address: Ip | undefined,
    port: number,
    options: { readonly ttl?: number; readonly minTtl?: number; readonly md5: readonly { readonly peer: Ip | Prefix; readonly key: Uint8Array }[] },
    accepted: (connection: Connection) => void,
  ): Promise<Listener>;
}
