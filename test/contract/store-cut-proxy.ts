/** A TCP proxy between a store and its etcd: cuts every connection, refuses new ones, or holds all octets back and releases them. */
import { type AddressInfo, type Socket, connect, createServer } from "node:net";

export interface CutProxy {
  readonly port: number;
  /** Connections accepted so far. */
  accepted(): number;
  /** Octets that came from etcd. */
  octets(): number;
  /** Resets what is open; new connections pass. */
  cut(): void;
  /** Cuts, and resets every new connection until `mend`. */
  block(): void;
  mend(): void;
  /** Nothing passes either way, and nobody is told, until `release`. */
  hold(): void;
  release(): void;
  /** Cuts right after the n-th next chunk from etcd has passed. */
  cutAfterChunks(chunks: number): void;
  close(): Promise<void>;
}

export async function startCutProxy(target: number): Promise<CutProxy> {
  const sockets = new Set<Socket>();
  let isBlocked = false,
    isHeld = false,
    accepted = 0,
    octets = 0,
    chunksLeft = Infinity;
  const cut = (): void => {
    for (const socket of sockets) socket.resetAndDestroy();
  };
  const join = (from: Socket, to: Socket, isAnswer: boolean): void => {
    sockets.add(from);
    from.on("data", (chunk) => {
      if (isAnswer) octets += chunk.length;
      if (!to.write(chunk)) {
        from.pause();
        to.once("drain", () => void (isHeld || from.resume()));
      }
      if (isAnswer && --chunksLeft <= 0) {
        chunksLeft = Infinity;
        setImmediate(cut);
      }
    });
    from.on("error", () => undefined);
    from.on("close", () => {
      sockets.delete(from);
      to.destroy();
    });
    if (isHeld) from.pause();
  };
  const server = createServer((client) => {
    accepted++;
    if (isBlocked) return void client.resetAndDestroy();
    const etcd = connect(target, "127.0.0.1");
    join(client, etcd, false);
    join(etcd, client, true);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    accepted: () => accepted,
    octets: () => octets,
    cut,
    block: () => {
      isBlocked = true;
      cut();
    },
    mend: () => void (isBlocked = false),
    hold: () => {
      isHeld = true;
      for (const socket of sockets) socket.pause();
    },
    release: () => {
      isHeld = false;
      for (const socket of sockets) socket.resume();
    },
    cutAfterChunks: (chunks) => void (chunksLeft = chunks),
    close: async () => {
      isHeld = false;
      cut();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
