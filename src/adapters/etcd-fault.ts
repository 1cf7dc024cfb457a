/** etcd's and gRPC's errors, mapped once to ours. Every sentence names the endpoint; none can hold a password, since etcd echoes none. */
import {
  EtcdAuthenticationFailedError,
  EtcdInvalidAuthTokenError,
  EtcdLeaseInvalidError,
  EtcdPermissionDeniedError,
  GRPCDeadlineExceededError,
  GRPCUnauthenticatedError,
  GRPCUnavailableError,
} from "etcd3";
import { FaultError, worldFault } from "#base/fault.ts";

/** etcd's answers that mean "log in again": the token outlived the server, its user or the auth store's revision. */
const loginAgain = /invalid auth token|revision of auth store is old|user name is empty/;
/** gRPC's word for a call that never reached a connection, so that doing it again elsewhere cannot do it twice. */
const neverSent = /No connection established|Name resolution failed|Channel closed before call started|client was already closed/;
const spaceExceeded = /database space exceeded/;

/** The fault of `cause` at `endpoint`; one that is a FaultError already stays as it is. */
export function etcdFault(cause: unknown, endpoint: string): FaultError {
  if (cause instanceof FaultError) return cause;
  const said = cause instanceof Error ? cause.message : String(cause);
  const as = (code: string, text: string): FaultError => new FaultError(worldFault(code, text), cause);
  if (isLoginFault(cause)) return as("store.denied", `etcd at ${endpoint} does not accept the login (${brief(said)}); check the store's username and password`);
  if (cause instanceof EtcdPermissionDeniedError)
    return as("store.denied", `etcd at ${endpoint} denies access to the store's prefix; give the user a role with readwrite on it`);
  if (cause instanceof EtcdLeaseInvalidError) return as("store.lease-gone", `etcd at ${endpoint} holds that lease no more; it expired or was revoked`);
  if (cause instanceof GRPCDeadlineExceededError)
    return as("store.timeout", `etcd at ${endpoint} did not answer in time; check that it is running and has a leader`);
  if (cause instanceof GRPCUnavailableError || /UNAVAILABLE|CANCELLED|client was already closed/.test(said))
    return as("store.unreachable", `etcd at ${endpoint} cannot be reached: ${brief(said)}`);
  if (spaceExceeded.test(said)) return as("store.full", `etcd at ${endpoint} is out of space; compact and defragment it, then disarm its alarm`);
  return as("store.failed", `etcd at ${endpoint} refused the request: ${brief(said)}`);
}

/** True if a new client that logs in again may help (and nothing was done: etcd checks the login first). */
export function isLoginFault(cause: unknown): boolean {
  if (cause instanceof EtcdAuthenticationFailedError || cause instanceof EtcdInvalidAuthTokenError || cause instanceof GRPCUnauthenticatedError) return true;
  return cause instanceof Error && loginAgain.test(cause.message);
}

/** True if the call certainly did nothing, because it never left. */
export function wasNeverSent(cause: unknown): boolean {
  return cause instanceof Error && neverSent.test(cause.message);
}

/** True if the connection is to blame: another endpoint, or a new client, may do better. */
export function isConnectionFault(fault: FaultError): boolean {
  return fault.fault.code === "store.unreachable" || fault.fault.code === "store.timeout";
}

/** The reason within gRPC's text: its last error if it tells one, without class names, codes and line breaks. */
function brief(said: string): string {
  const last = /Last error: (.*?)\.? Resolution note/s.exec(said)?.[1] ?? said;
  return last
    .replace(/^(\w+Error: )?(\d+ [A-Z_]+: )?(etcdserver: )?(Error: )?/, "")
    .replaceAll(/\s+/g, " ")
    .slice(0, 200);
}
