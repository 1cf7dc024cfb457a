/**
 * Calls into the C library for sockets and the clock (netlink-socket.ts has its own, on its own thread too). A wrong
 * signature here crashes the process. Every call is synchronous and short; descriptors are non-blocking.
 */
import { getSystemErrorName } from "node:util";
import koffi from "koffi";

const library = koffi.load("libc.so.6");
const bind = <F>(declaration: string): F => library.func(declaration) as F;

/** A call failed: `code` is the name of errno. */
export class SystemFault extends Error {
  readonly call: string;
  readonly code: string;
  constructor(call: string, errno: number) {
    const code = errnoName(errno);
    super(`${call}: ${code}`);
    this.name = "SystemFault";
    this.call = call;
    this.code = code;
  }
}

type Bytes = Uint8Array | Uint32Array;

/** As declared by the C library: -1 means errno. `void *` arguments are read or written in place. */
export const libc = {
  socket: bind<(domain: number, type: number, protocol: number) => number>("int socket(int, int, int)"),
  bind: bind<(fd: number, address: Bytes, size: number) => number>("int bind(int, const void *, unsigned int)"),
  listen: bind<(fd: number, backlog: number) => number>("int listen(int, int)"),
  accept4: bind<(fd: number, address: null, size: null, flags: number) => number>("int accept4(int, void *, void *, int)"),
  setsockopt: bind<(fd: number, level: number, name: number, value: Bytes, size: number) => number>(
    "int setsockopt(int, int, int, const void *, unsigned int)",
  ),
  sendto: bind<(fd: number, data: Bytes, size: number, flags: number, address: Bytes, addressSize: number) => number>(
    "long sendto(int, const void *, size_t, int, const void *, unsigned int)",
  ),
  recv: bind<(fd: number, data: Bytes, size: number, flags: number) => number>("long recv(int, void *, size_t, int)"),
  recvmsg: bind<(fd: number, header: BigUint64Array, flags: number) => number | bigint>("long recvmsg(int, void *, int)"),
  close: bind<(fd: number) => number>("int close(int)"),
  schedSetScheduler: bind<(thread: number, policy: number, parameters: Uint32Array) => number>("int sched_setscheduler(int, int, const void *)"),
  setns: bind<(fd: number, kind: number) => number>("int setns(int, int)"),
  adjtimex: bind<(timex: Uint8Array) => number>("int adjtimex(void *)"),
  clockGetTime: bind<(clock: number, timespec: Bytes) => number>("int clock_gettime(int, void *)"),
} as const;

/** `result` if it is no failure; else throws what errno says of `call`. */
export function checked(result: number, call: string): number {
  if (result < 0) throw new SystemFault(call, koffi.errno());
  return result;
}

/** Where `bytes` lie, for structures that hold pointers; true as long as somebody holds `bytes`. */
export const addressOf = (bytes: Uint8Array | BigUint64Array): bigint => koffi.address(bytes);

/** Name of the errno that the last call left, for callers that expect some of them. */
export const lastErrno = (): string => errnoName(koffi.errno());

function errnoName(errno: number): string {
  try {
    return getSystemErrorName(-errno);
  } catch {
    return `errno ${errno}`;
  }
}

/** Calls `ready` whenever `fd` is readable, from a turn of its own (a native callback is no place to throw), until closed. */
export function watchReadable(fd: number, ready: () => void): { close(): void } {
  let open = true;
  const handle = koffi.node.poll(fd, { readable: true }, () => void (open && ready()));
  return {
    close(): void {
      if (open) handle.close();
      open = false;
    },
  };
}
