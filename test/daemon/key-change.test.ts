/** A TCP-MD5 key that is changed on both ends of a session, one after the other, under a session that stays; on one end alone; a key that is gone. */
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { PeerView } from "#daemon/control.ts";
import { kernelMissing, Namespace } from "../contract/kernel-netns.ts";
import { DaemonProcess, until } from "./daemon-process.ts";

/** Long enough for the other end to be changed on a busy machine, short enough to wait for. */
const holdSeconds = 6;

function documentOf(own: 1 | 2, neighbour: string): string {
  return `podway: 1
name: keys
asn: 6500${own}
store: none
reflection: off
nodes:
  n: { address: 10.9.0.${own}, routerId: 10.9.0.${own}, roles: [reflector] }
peers:
  - { name: other, ${neighbour}, asn: 6500${3 - own}, import: [all], export: [all], holdTime: ${holdSeconds}s, password: { file: FILE } }
`;
}

describe.skipIf(kernelMissing !== undefined)(`TCP-MD5 keys of a session that is up${kernelMissing ?? ""}`, () => {
  let sides: readonly [Namespace, Namespace];
  let daemons: readonly [DaemonProcess, DaemonProcess];
  const keyFile = (daemon: DaemonProcess): string => join(daemon.directory, "key");
  const writeKey = (daemon: DaemonProcess, key: string): void => writeFileSync(keyFile(daemon), `${key}\n`, { mode: 0o600 });
  const peer = async (daemon: DaemonProcess): Promise<PeerView> => {
    const { peers } = await daemon.status();
    return peers.find(({ name }) => name.startsWith("other"))!;
  };
  const isUp = async (daemon: DaemonProcess): Promise<boolean> => (await peer(daemon)).state === "Established";

  beforeEach(() => {
    const [a, b] = [new Namespace("key-a"), new Namespace("key-b")];
    a.wire(b);
    a.ip("address add 10.9.0.1/24 dev eth0");
    b.ip("address add 10.9.0.2/24 dev eth0");
    sides = [a, b];
  });
  afterEach(async () => {
    await Promise.all(daemons.map((daemon) => daemon.dispose()));
    for (const side of sides) side.remove();
  });
  /** The second knows the first by its address, or by a range, whose key is that of every address in it. */
  async function start(first: string): Promise<void> {
    const documents = [documentOf(1, "address: 10.9.0.2"), documentOf(2, first)] as const;
    daemons = [new DaemonProcess("n", documents[0]), new DaemonProcess("n", documents[1])];
    for (const [i, daemon] of daemons.entries()) {
      daemon.write(documents[i]!.replace("FILE", keyFile(daemon)));
      writeKey(daemon, "before");
      const leave = sides[i]!.enter();
      daemon.start();
      leave();
    }
    for (const daemon of daemons) await until("the session is up", () => isUp(daemon));
  }
  async function change(daemon: DaemonProcess, key: string): Promise<void> {
    const said = daemon.said("bgp.rekeyed").length;
    writeKey(daemon, key);
    daemon.signal("SIGHUP");
    await until("the key is taken on", () => daemon.said("bgp.rekeyed").length > said);
  }

  test.each([
    ["by its address", "address: 10.9.0.1"],
    ["by a range", "range: 10.9.0.0/24"],
  ])("changed on both ends, one after the other: the session stays; a neighbour known %s", { timeout: 120_000 }, async (_how, first) => {
    await start(first);
    for (const daemon of daemons) await change(daemon, "after");
    const since = (await peer(daemons[0])).sinceSeconds;
    await until("twice the hold time has passed", async () => (await peer(daemons[0])).sinceSeconds > since + 2 * holdSeconds, 40_000);
    for (const daemon of daemons) expect(await peer(daemon)).toMatchObject({ state: "Established", flaps: 0 });
    // A new connection needs the new key, too: the listener has it.
    await daemons[0].podway("peers", "reset", "other");
    for (const daemon of daemons) await until("the session is up again", async () => (await isUp(daemon)) && (await peer(daemon)).flaps === 1);
  });

  test("changed on one end alone, the session ends with the hold time; a key that is gone is named", { timeout: 120_000 }, async () => {
    await start("address: 10.9.0.1");
    await change(daemons[0], "after");
    await until("the session is down", async () => !(await isUp(daemons[0])), 30_000);
    expect((await peer(daemons[0])).reason).toMatch(/^hold timer expired: nothing heard for 6 s|wrong MD5 key|TCP-MD5 keys differ/);
    rmSync(keyFile(daemons[0]));
    const sentence = `there is no secret at ${keyFile(daemons[0])}: put it there, or name another file.`;
    daemons[0].signal("SIGHUP");
    await until("the reason names it", async () => (await peer(daemons[0])).reason.includes(sentence), 30_000);
    expect((await daemons[0].status()).warnings.join()).toContain(`other cannot connect to us: ${sentence}`);
    writeKey(daemons[0], "before");
    for (const daemon of daemons) await until("the session is up again", () => isUp(daemon), 30_000);
  });
});
