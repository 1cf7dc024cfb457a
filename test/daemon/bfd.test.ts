/** BFD between two daemons on one link: a silent cut, BFD that is switched off, a daemon that stops, a port that is taken. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { PeerView } from "#daemon/control.ts";
import { BfdListener } from "#adapters/bfd-socket.ts";
import { kernelMissing, Namespace } from "../contract/kernel-netns.ts";
import { DaemonProcess, until } from "./daemon-process.ts";

const interval = 100,
  detection = 3 * interval;
/** The notice's way into BGP, and to whoever looks. */
const graceMillis = 300;

function documentOf(own: 1 | 2, bfd: string): string {
  const other = 3 - own;
  return `podway: 1
name: bfd
asn: 6500${own}
store: none
reflection: off
nodes:
  n: { address: 10.9.0.${own}, routerId: 10.9.0.${own}, roles: [reflector] }
peers:
  - { name: other, address: 10.9.0.${other}, asn: 6500${other}, import: [all], export: [all], connectRetry: 1s, ${bfd} }
`;
}
const watched = `bfd: { interval: ${interval}ms }`;

describe.skipIf(kernelMissing !== undefined)(`BFD between daemons${kernelMissing ?? ""}`, () => {
  let sides: readonly [Namespace, Namespace];
  let daemons: readonly [DaemonProcess, DaemonProcess];
  beforeEach(() => {
    const [a, b] = [new Namespace("bfd-a"), new Namespace("bfd-b")];
    a.wire(b);
    a.ip("address add 10.9.0.1/24 dev eth0");
    b.ip("address add 10.9.0.2/24 dev eth0");
    sides = [a, b];
    daemons = [new DaemonProcess("n", documentOf(1, watched)), new DaemonProcess("n", documentOf(2, watched))];
  });
  afterEach(async () => {
    await Promise.all(daemons.map((daemon) => daemon.dispose()));
    for (const side of sides) side.remove();
  });

  /** What a process is started in, it stays in. */
  function start(): void {
    for (const [i, side] of sides.entries()) {
      const leave = side.enter();
      daemons[i]!.start();
      leave();
    }
  }
  const peer = async (daemon: DaemonProcess): Promise<PeerView> => (await daemon.peer("other"))!;
  const isUp = ({ state, bfd }: PeerView): boolean => state === "Established" && bfd?.state === "Up" && bfd.detectionMillis === detection;
  async function bothUp(): Promise<void> {
    for (const daemon of daemons) await until("BGP and BFD are up", async () => isUp(await peer(daemon)));
  }

  test("a cut that nobody announces ends BGP on both sides in time, and both come back", async () => {
    start();
    await bothUp();
    sides[1].exec("nft add table inet cut");
    sides[1].exec("nft add chain inet cut in { type filter hook input priority 0 ; policy drop ; }");
    const cut = performance.now();
    sides[1].exec("nft add chain inet cut out { type filter hook output priority 0 ; policy drop ; }");
    await Promise.all(daemons.map((daemon) => until("BGP is down", async () => (await peer(daemon)).state !== "Established", 5000)));
    const took = Math.round(performance.now() - cut);
    process.stdout.write(`bfd: both sessions down ${took} ms after the cut, ${detection} + ${graceMillis} allowed\n`);
    expect(took).toBeLessThanOrEqual(detection + graceMillis);
    for (const daemon of daemons) {
      const { reason, flaps, stale, accepted } = await peer(daemon);
      expect(reason).toMatch(/^the BFD session went down: (nothing heard from the peer for 300 ms|the peer says it is down)/);
      expect([flaps, stale, accepted]).toEqual([1, 0, 0]);
      expect(daemon.said("bfd.down")[0]).toMatch(/^other: BFD session went from Up to Down: /);
    }
    sides[1].exec("nft delete table inet cut");
    await bothUp();
  });

  test("a neighbour out of a range is watched while it is up: a cut ends it in time, and it is watched again", async () => {
    daemons[1].write(documentOf(2, watched).replace("address: 10.9.0.1,", "range: 10.9.0.0/24,"));
    start();
    const dynamic = async (): Promise<PeerView | undefined> => daemons[1].peer("other-10.9.0.1");
    const both = async (): Promise<boolean> => {
      const there = await dynamic();
      return there !== undefined && isUp(there) && isUp(await peer(daemons[0]));
    };
    await until("BGP and BFD are up", both);
    sides[0].exec("nft add table inet cut");
    sides[0].exec("nft add chain inet cut in { type filter hook input priority 0 ; policy drop ; }");
    const cut = performance.now();
    sides[0].exec("nft add chain inet cut out { type filter hook output priority 0 ; policy drop ; }");
    await until("BGP is down", async () => (await dynamic())?.state !== "Established", 5000);
    expect(Math.round(performance.now() - cut)).toBeLessThanOrEqual(detection + graceMillis);
    expect((await dynamic())!.reason).toMatch(/^the BFD session went down: nothing heard from the peer for 300 ms/);
    sides[0].exec("nft delete table inet cut");
    await until("BGP and BFD are up again", both);
  });

  test("BFD that the document loses takes no session of BGP down, on neither side", async () => {
    start();
    await bothUp();
    daemons[0].write(documentOf(1, ""));
    daemons[0].signal("SIGHUP");
    await until("the other side has heard of it", async () => (await peer(daemons[1])).bfd?.reason === "the peer has shut BFD down administratively");
    expect((await peer(daemons[0])).bfd).toBeNull();
    daemons[0].write(documentOf(1, "bfd: { interval: 200ms, multiplier: 4 }"));
    daemons[0].signal("SIGHUP");
    await until("other times are agreed upon", async () => (await peer(daemons[1])).bfd?.detectionMillis === 800);
    for (const daemon of daemons) expect(await peer(daemon)).toMatchObject({ state: "Established", flaps: 0 });
  });

  test("a daemon that stops says goodbye in BGP first: nobody blames the path", async () => {
    start();
    await bothUp();
    await daemons[0].end();
    await until("BGP is down", async () => (await peer(daemons[1])).state !== "Established");
    await until("BFD is down", async () => (await peer(daemons[1])).bfd?.state === "Down");
    expect((await peer(daemons[1])).bfd!.reason).toBe("the peer has shut BFD down administratively");
    expect((await peer(daemons[1])).reason).not.toContain("BFD");
  });

  test("a port that another program has is named; BGP works all the same, and BFD once the port is free", async () => {
    const leave = sides[0].enter();
    const squatter = new BfdListener(4, false);
    leave();
    start();
    await until("BGP is up", async () => (await peer(daemons[1])).state === "Established");
    await until("the port is named", () => daemons[0].said("bfd.fault").length > 0);
    expect(daemons[0].said("bfd.fault")).toEqual([
      "cannot listen for BFD on UDP port 3784: another program has the port; stop its BFD, or leave `bfd` out here.",
    ]);
    expect((await peer(daemons[0])).bfd).toMatchObject({ state: "Down", packetsIn: 0 });
    squatter.close();
    await bothUp();
  });
});
