/**
 * The Net port. A socket is made through the C library, gets its options (MD5, TTL, GTSM, source, device) and only then
 * connects or listens: there is no moment without them. Node then takes the descriptor over (tcp-connection.ts).
 */
import { worldFault, type Fault, FaultError } from "#base/fault.ts";
import { type Family, familyOf, type Ip } from "#base/ip.ts";
import type { Prefix } from "#base/prefix.ts";
import type { Connection, Listener, Net, SocketOptions } from "#ports/net.ts";
import { checked, lastErrno, libc, SystemFault, watchReadable } from "./libc.ts";
import { portHolder } from "./port-holder.ts";
import { acceptFlags, bindTo, openTcp, setDevice, setMd5, setMinTtl, setNoDelay, setReuseAddress, setTtl, setV6Only } from "./socket-options.ts";
import { reasonOf, TcpConnection } from "./tcp-connection.ts";

export const listenLimits = {
  /** Connections that wait to be accepted; the kernel caps it by net.core.somaxconn. */
  backlog: 4096,
  /** Accepted in one turn of the event loop. */
  acceptsPerTurn: 64,
  /** Pause when the process or the machine is out of descriptors or memory. */
  retryMillis: 1000,
} as const;

type ListenOptions = Parameters<Net["listen"]>[2];
const any: Record<Family, Ip> = { 4: "0.0.0.0" as Ip, 6: "::" as Ip };

/** TCP on this machine. */
export const systemNet: Net = { connect, listen };

function connect(peer: Ip, port: number, options: SocketOptions, signal: AbortSignal): Promise<Connection> {
  return new Promise((resolve, reject) => {
    const aborted = (): FaultError => new FaultError(worldFault("net.aborted", `connecting to ${peer} was called off.`));
    if (signal.aborted) return reject(aborted());
    const connection = new TcpConnection(prepared(peer, options));
    const { socket } = connection;
    const abort = (): void => fail(aborted());
    const refuse = (error: NodeJS.ErrnoException): void => fail(new FaultError(connectFault(peer, port, error), error));
    const settled = (): void => {
      signal.removeEventListener("abort", abort);
      socket.off("error", refuse).off("connect", connected);
    };
    const fail = (error: FaultError): void => {
      settled();
      socket.destroy();
      reject(error);
    };
    const connected = (): void => {
      if (!connection.identify()) return fail(new FaultError(worldFault("net.reset", `${peer} port ${port} closed the connection at once.`)));
      settled();
      resolve(connection);
    };
    signal.addEventListener("abort", abort, { once: true });
    socket.on("error", refuse).on("connect", connected);
    socket.connect({ host: peer, port });
  });
}

/** A descriptor that is ready to connect to `peer`. */
function prepared(peer: Ip, options: SocketOptions): number {
  const family = familyOf(peer);
  return making(family, `connect to ${peer}`, (fd) => {
    setNoDelay(fd);
    if (options.ttl !== undefined) setTtl(fd, family, options.ttl);
    if (options.minTtl !== undefined) setMinTtl(fd, family, options.minTtl);
    if (options.device !== undefined) setDevice(fd, options.device);
    if (options.md5) setMd5(fd, peer, options.md5);
    if (options.source) bindTo(fd, options.source, 0);
  });
}

/** Opens a socket and sets it up; closes it again if that fails. `purpose` is for the sentence. */
function making(family: Family, purpose: string, setUp: (fd: number) => void): number {
  let fd = -1;
  try {
    fd = openTcp(family);
    setUp(fd);
    return fd;
  } catch (error) {
    if (fd >= 0) libc.close(fd);
    throw error instanceof SystemFault ? new FaultError(setUpFault(purpose, error), error) : error;
  }
}

function setUpFault(purpose: string, { call, code }: SystemFault): Fault {
  const cannot = `cannot ${purpose}: `;
  if (code === "EADDRNOTAVAIL") return worldFault("net.no-address", `${cannot}this machine does not have the address to bind to.`);
  if (code === "EADDRINUSE") return worldFault("net.port-taken", `${cannot}the port is taken.`);
  if (code === "EACCES") return worldFault("net.denied", `${cannot}not permitted (ports below 1024 need CAP_NET_BIND_SERVICE).`);
  if (code === "EPERM") return worldFault("net.denied", `${cannot}not permitted (${call}); it needs CAP_NET_RAW or CAP_NET_ADMIN.`);
  if (code === "ENODEV") return worldFault("net.no-device", `${cannot}there is no such device.`);
  if (code === "EAFNOSUPPORT") return worldFault("net.no-family", `${cannot}this kernel has no such address family.`);
  if (code === "ENOMEM" || code === "ENOBUFS")
    return worldFault("net.no-memory", `${cannot}the kernel has no room (${call}); for many MD5 keys raise net.core.optmem_max.`);
  if (code === "EMFILE" || code === "ENFILE") return worldFault("net.no-descriptor", `${cannot}no file descriptor is left; raise LimitNOFILE.`);
  return worldFault("net.failed", `${cannot}${call} failed with ${code}.`);
}

function connectFault(peer: Ip, port: number, error: NodeJS.ErrnoException): Fault {
  const to = `${peer} port ${port}`;
  switch (error.code) {
    case "ECONNREFUSED":
      return worldFault("net.refused", `${to} refused the connection: nothing listens there, or a firewall rejects it.`);
    case "EHOSTUNREACH":
    case "ENETUNREACH":
    case "EADDRNOTAVAIL":
      return worldFault("net.unreachable", `${to} cannot be reached: ${reasonOf(error)}.`);
    case "ETIMEDOUT":
      return worldFault("net.timeout", `${to} does not answer: it is down, or a firewall or a wrong MD5 key drops the connection.`);
    case "ECONNRESET":
      return worldFault("net.reset", `${to} reset the connection while it was being made.`);
    case "EACCES":
    case "EPERM":
      return worldFault("net.denied", `connecting to ${to} is not permitted: a local firewall or policy forbids it.`);
    default:
      return worldFault("net.failed", `connecting to ${to} failed: ${reasonOf(error)}.`);
  }
}

async function listen(address: Ip | undefined, port: number, options: ListenOptions, accepted: (connection: Connection) => void): Promise<Listener> {
  const doors: Door[] = [];
  try {
    if (address) doors.push(await openDoor(address, port, options, accepted));
    else doors.push(await openDoor(any[4], port, options, accepted), ...(await openV6(port, options, accepted)));
  } catch (error) {
    for (const door of doors) door.close();
    throw error;
  }
  return {
    setMd5: (peer, key) => {
      for (const door of doors) door.setMd5(peer, key);
    },
    close: () => {
      for (const door of doors.splice(0)) door.close();
    },
  };
}

/** A machine without IPv6 listens on IPv4 alone. */
async function openV6(port: number, options: ListenOptions, accepted: (connection: Connection) => void): Promise<Door[]> {
  try {
    return [await openDoor(any[6], port, options, accepted)];
  } catch (error) {
    if (error instanceof FaultError && error.fault.code === "net.no-family") return [];
    throw error;
  }
}

/** One listening descriptor of one family. */
interface Door {
  setMd5(peer: Ip | Prefix, key: Uint8Array | undefined): void;
  close(): void;
}

async function openDoor(address: Ip, port: number, options: ListenOptions, accepted: (connection: Connection) => void): Promise<Door> {
  const family = familyOf(address);
  const purpose = `listen on ${family === 6 ? `[${address}]` : address} port ${port}`;
  const concerns = (peer: Ip | Prefix): boolean => familyOf(peer) === family;
  let fd: number;
  try {
    fd = making(family, purpose, (made) => {
      setReuseAddress(made);
      setNoDelay(made);
      if (family === 6) setV6Only(made);
      if (options.ttl !== undefined) setTtl(made, family, options.ttl);
      if (options.minTtl !== undefined) setMinTtl(made, family, options.minTtl);
      for (const { peer, key } of options.md5) if (concerns(peer)) setMd5(made, peer, key);
      bindTo(made, address, port);
      checked(libc.listen(made, listenLimits.backlog), "listen");
    });
  } catch (error) {
    if (!(error instanceof FaultError) || error.fault.code !== "net.port-taken") throw error;
    throw new FaultError(worldFault("net.port-taken", `cannot ${purpose}: ${await portHolder(port)} has it; stop that, or set another port.`), error);
  }
  const stop = accepting(fd, accepted);
  return {
    setMd5: (peer, key) => void (concerns(peer) && setMd5(fd, peer, key)),
    close: () => {
      stop();
      libc.close(fd);
    },
  };
}

/** Accepts until stopped; out of descriptors it waits a while instead of spinning. Returns how to stop. */
function accepting(fd: number, accepted: (connection: Connection) => void): () => void {
  let watch: { close(): void } | undefined;
  let retry: NodeJS.Timeout | undefined;
  let stopped = false;
  const start = (): void => {
    watch = watchReadable(fd, acceptSome);
  };
  const acceptSome = (): void => {
    for (let i = 0; i < listenLimits.acceptsPerTurn && !stopped; i++) {
      const peer = libc.accept4(fd, null, null, acceptFlags);
      if (peer < 0) return afterFailure(lastErrno());
      const connection = new TcpConnection(peer);
      if (connection.identify()) accepted(connection);
      else connection.destroy();
    }
  };
  const afterFailure = (code: string): void => {
    // Nobody waits any more, or one that waited has gone: the next readable event tells.
    if (!["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"].includes(code)) return;
    watch?.close();
    retry = setTimeout(start, listenLimits.retryMillis);
  };
  start();
  return () => {
    stopped = true;
    clearTimeout(retry);
    watch?.close();
  };
}
