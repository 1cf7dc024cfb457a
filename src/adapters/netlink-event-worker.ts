/** Thread of netlink-events.ts: waits for notifications, gathers what comes close together, and says which parts moved. */
import { parentPort, workerData } from "node:worker_threads";
import { i32, readDatagram, type NetlinkMessage, u32 } from "#wire/netlink.ts";
import { addressFamily, netconfIsAll, rtm, rtnlGroup } from "#wire/rtnetlink.ts";
import { decodeNeighbour } from "#wire/rtnetlink-neighbour.ts";
import { routeProtocolOf } from "#wire/rtnetlink-route.ts";
import { NetlinkSocket } from "./netlink-socket.ts";

export interface EventWorkerSettings {
  readonly routeProtocol: number;
  readonly ownPort: number;
  /** One Int32: not zero ends the thread. */
  readonly stop: SharedArrayBuffer;
}

/** What moved, without the how: interface indexes per kind, each once. */
export interface EventBurst {
  readonly overrun: boolean;
  /** Devices that came, went, or were set up or down: what was on them may be gone. */
  readonly links: readonly number[];
  /** Devices of which something else changed. */
  readonly linkDetails: readonly number[];
  readonly addresses: readonly number[];
  readonly neighbours: readonly number[];
  /** Forwarding entries as they are now: those of our own writing are among them, for the kernel tells of all under one port. Undefined: too many. */
  readonly fdb: readonly FdbNews[] | undefined;
  readonly ourRoutes: boolean;
  readonly otherRoutes: boolean;
  readonly switches: boolean;
}

/** One forwarding entry; `destination` undefined: it is gone. */
export interface FdbNews {
  readonly index: number;
  readonly mac: string;
  readonly destination: string | undefined;
}

const mostFdbNews = 256;

/** How long the thread may be deaf to `stop`, and how long a burst is gathered. */
const waitMillis = 250;
const gatherMillis = 10;
const burstDatagrams = 16_384;

class Gathering {
  overrun = false;
  readonly links = new Set<number>();
  readonly linkDetails = new Set<number>();
  readonly addresses = new Set<number>();
  readonly neighbours = new Set<number>();
  fdb: FdbNews[] | undefined = [];
  ourRoutes = false;
  otherRoutes = false;
  switches = false;

  add(bytes: Uint8Array, settings: EventWorkerSettings): void {
    const read = readDatagram(bytes);
    if (!read.ok) this.overrun = true;
    else for (const message of read.value) if (message.portId !== settings.ownPort) this.#addMessage(bytes, message, settings.routeProtocol);
  }

  burst(): EventBurst {
    const { overrun, ourRoutes, otherRoutes, switches } = this;
    return {
      overrun,
      links: [...this.links],
      linkDetails: [...this.linkDetails],
      addresses: [...this.addresses],
      neighbours: [...this.neighbours],
      fdb: this.fdb,
      ourRoutes,
      otherRoutes,
      switches,
    };
  }

  /** In ifinfomsg, ifaddrmsg and ndmsg the interface index stands at octet 4. */
  #addMessage(bytes: Uint8Array, message: NetlinkMessage, routeProtocol: number): void {
    if (message.end - message.start < 8) return;
    const index = i32(bytes, message.start + 4);
    switch (message.type) {
      case rtm.newLink:
        (flagsChanged(bytes, message) ? this.links : this.linkDetails).add(index);
        break;
      case rtm.delLink:
        this.links.add(index);
        break;
      case rtm.newAddress:
      case rtm.delAddress:
        this.addresses.add(index);
        break;
      case rtm.newNeighbour:
      case rtm.delNeighbour:
        if (bytes[message.start] === addressFamily.bridge) this.#addFdb(bytes, message, index);
        else this.neighbours.add(index);
        break;
      case rtm.newRoute:
      case rtm.delRoute:
        if (routeProtocolOf(bytes, message) === routeProtocol) this.ourRoutes = true;
        else this.otherRoutes = true;
        break;
      case rtm.newNetconf:
        this.switches ||= netconfIsAll(bytes, message);
        break;
    }
  }

  #addFdb(bytes: Uint8Array, message: NetlinkMessage, index: number): void {
    if (this.fdb === undefined) return;
    const entry = decodeNeighbour(bytes, message);
    if (!entry.ok || this.fdb.length === mostFdbNews) this.fdb = undefined;
    if (!entry.ok || entry.value.mac === undefined) return;
    const { mac, destination } = entry.value;
    this.fdb?.push({ index, mac, destination: message.type === rtm.newNeighbour ? destination : undefined });
  }
}

/** ifi_change of ifinfomsg: zero where no flag of the device (up, running, ...) changed. */
const flagsChanged = (bytes: Uint8Array, { start, end }: NetlinkMessage): boolean => end - start < 16 || u32(bytes, start + 12) !== 0;

function work(settings: EventWorkerSettings, say: (burst: EventBurst) => void): void {
  const groups = Object.values(rtnlGroup).reduce((mask, group) => mask | (1 << (group - 1)), 0);
  const socket = new NetlinkSocket(groups, waitMillis),
    stop = new Int32Array(settings.stop),
    never = new Int32Array(new SharedArrayBuffer(4));
  // What changed before this socket listened was seen by nobody.
  say({ ...new Gathering().burst(), overrun: true });
  while (Atomics.load(stop, 0) === 0) {
    let received = socket.receive(true);
    if (received === "nothing") continue;
    const gathering = new Gathering();
    for (let late = false, count = 0; received !== "nothing" || !late; received = socket.receive(false)) {
      if (received === "overrun" || count++ > burstDatagrams) gathering.overrun = true;
      else if (received !== "nothing") gathering.add(received, settings);
      if (received === "nothing" || gathering.overrun) {
        if (late) break;
        late = true;
        Atomics.wait(never, 0, 0, gatherMillis);
      }
    }
    say(gathering.burst());
  }
  socket.close();
}

work(workerData as EventWorkerSettings, (burst) => parentPort?.postMessage(burst));
