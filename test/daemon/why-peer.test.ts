/** `podway why PEER`: a daemon in a network of its own, and a neighbour for every way in which a session does not come up or ends. */
import { join } from "node:path";
import { writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type WhyView } from "#daemon/control.ts";
import { encodeNotification } from "#wire/bgp/message.ts";
import { encodeOpen } from "#wire/bgp/open.ts";
import { messageType } from "#wire/bgp/constants.ts";
import { shutdownData } from "#wire/bgp/notification.ts";
import { kernelMissing, Namespace } from "../contract/kernel-netns.ts";
import { DaemonProcess, until } from "./daemon-process.ts";
import { RawPeer } from "./raw-peer.ts";

const port = 1790,
  passive = "passive: true, import: [all], export: [all], multihop: 8";
const documentOf = (directory: string): string => `podway: 1
name: why
asn: 64512
store: none
reflection: off
nodes:
  n: { address: 127.0.0.1, routerId: 10.0.0.1, roles: [reflector], listen: { address: 127.0.0.1, port: ${port} } }
peers:
  - { name: refused, address: 127.0.0.11, asn: 64512 }
  - { name: unrouted, address: 203.0.113.9, asn: 64512, source: 127.0.0.1 }
  - { name: silent, address: 127.0.0.13, asn: 64512 }
  - { name: keyed, address: 127.0.0.14, asn: 65014, ${passive}, password: { file: ${directory}/key } }
  - { name: keyless, address: 127.0.0.15, asn: 64512, password: { file: ${directory}/no-key } }
  - { name: other-as, address: 127.0.0.16, asn: 65016, ${passive} }
  - { name: mute, address: 127.0.0.17, asn: 65017, ${passive}, holdTime: 3s }
  - { name: leaving, address: 127.0.0.18, asn: 65018, ${passive} }
  - { name: twice, address: 127.0.0.19, asn: 65019, ${passive} }
  - { name: many, address: 127.0.0.20, asn: 65020, ${passive}, maxPrefixes: { most: 2, restart: 5m } }
  - { name: shut, address: 127.0.0.21, asn: 65021, ${passive} }
  - { name: far, address: 127.0.0.22, asn: 64512, ttlSecurity: 1 }
  - { name: role, address: 127.0.0.23, asn: 65023, ${passive}, role: customer }
`;

describe.skipIf(kernelMissing !== undefined)(`why a peer is down${kernelMissing ?? ""}`, () => {
  let place: Namespace, daemon: DaemonProcess;
  const raws: RawPeer[] = [];
  beforeAll(async () => {
    place = new Namespace("why");
    place.exec("nft add table inet cut");
    place.exec("nft add chain inet cut in { type filter hook input priority 0 ; }");
    place.exec("nft add rule inet cut in ip daddr 127.0.0.13 drop");
    daemon = new DaemonProcess("n", "");
    daemon.write(documentOf(daemon.directory));
    writeFileSync(join(daemon.directory, "key"), "secret\n", { mode: 0o600 });
    const leave = place.enter();
    daemon.start();
    leave();
    await daemon.until("it listens", ({ listen }) => listen.state === "listening");
  }, 60_000);
  afterAll(async () => {
    for (const raw of raws) raw.destroy();
    await daemon.dispose();
    place.remove();
  });

  const why = (name: string): Promise<WhyView> => daemon.get(`/v1/why?subject=${name}`);
  /** The sentence, once it says so. */
  const saysSo = (name: string, sentence: RegExp): Promise<void> =>
    until(`why ${name} says ${sentence}`, async () => {
      const { text } = await why(name);
      if (!sentence.test(text)) throw new Error(text);
      return true;
    });
  /** A neighbour's own socket: made in the daemon's network, where this thread is only for the call. */
  async function dial(last: number, asn = 65_000 + last, more: { readonly holdSeconds?: number; readonly role?: number } = {}): Promise<RawPeer> {
    const leave = place.enter();
    const { role, ...terms } = more;
    const made = RawPeer.connect({ port, local: `127.0.0.${last}`, asn, capabilities: role === undefined ? {} : { role }, ...terms });
    await new Promise<void>((resolve) => process.nextTick(resolve)); // the socket is made in the next tick
    leave();
    const raw = await made;
    raws.push(raw);
    return raw;
  }
  async function establish(last: number): Promise<RawPeer> {
    const raw = await dial(last);
    raw.send(encodeOpen(raw.ownOpen()));
    await raw.message(messageType.open);
    raw.keepAlive();
    const names = ["leaving", "twice", "many", "shut"];
    await until("its session is up", async () => (await daemon.peer(names[last - 18]!))?.state === "Established");
    return raw;
  }

  test.each([
    [
      "refused",
      /is (Active|Connect) for \d+ s: cannot connect to 127\.0\.0\.11 port 179: 127\.0\.0\.11 port 179 refused the connection: nothing listens there/,
    ],
    ["unrouted", /cannot connect to 203\.0\.113\.9 port 179: 203\.0\.113\.9 port 179 cannot be reached: (network is unreachable|invalid argument)/],
    ["silent", /cannot connect to 127\.0\.0\.13 port 179: no answer \(it is down, or a firewall drops the packets\)/],
    ["keyless", /cannot connect to 127\.0\.0\.15 port 179: there is no secret at \S+no-key: put it there, or name another file/],
  ])("TCP does not come about: %s", { timeout: 40_000 }, async (name, sentence) => {
    await saysSo(name, sentence);
  });

  test("a key that differs is not heard, and that is said as what may be", async () => {
    const dialled = dial(14).catch(() => undefined); // without a key
    await until("the kernel has dropped what it sent", () => Number(/^TcpExtTCPMD5NotFound\s+(\d+)/m.exec(place.exec("nstat -asz"))?.[1] ?? 0) > 0);
    await saysSo("keyed", /is Active for \d+ s: waits for the peer to connect, unheard if its TCP-MD5 key is another\. It never went down/);
    expect((await daemon.peer("keyed"))!.state).toBe("Active");
    void dialled;
  });

  test("another AS than expected", async () => {
    const raw = await dial(16, 65_099);
    raw.send(encodeOpen(raw.ownOpen()));
    expect(await raw.notification()).toEqual([2, 2]);
    await saysSo("other-as", /65099.*65016.*\(sent OPEN Message Error\/Bad Peer AS/i);
  });
  test("a role that does not fit", async () => {
    const raw = await dial(23, 65_023, { role: 3 });
    raw.send(encodeOpen(raw.ownOpen()));
    expect(await raw.notification()).toEqual([2, 11]);
    await saysSo("role", /ours is customer: it must be provider \(RFC 9234\)/);
  });
  test("nothing heard for the hold time", { timeout: 30_000 }, async () => {
    const raw = await dial(17, 65_017, { holdSeconds: 3 });
    raw.send(encodeOpen(raw.ownOpen()));
    await raw.message(messageType.keepalive);
    await saysSo("mute", /hold timer expired: nothing heard for 3 s \(sent Hold Timer Expired/i);
  });
  test("a NOTIFICATION with a text", async () => {
    const raw = await establish(18);
    raw.send(encodeNotification({ code: 6, subcode: 2, data: shutdownData("maintenance until noon", 128) }));
    await saysSo("leaving", /peer sent Cease\/Administrative Shutdown: "maintenance until noon".*It went down once/);
  });
  test("a second connection while one is up loses, and the session stays", async () => {
    await establish(19);
    const second = await dial(19);
    second.send(encodeOpen(second.ownOpen()));
    expect(await second.notification()).toEqual([6, 7]);
    await saysSo("twice", /is Established for \d+ s.*It never went down/);
  });
  test("more prefixes than it may announce, and when it is let in again", async () => {
    const raw = await establish(20);
    for (const prefix of ["10.1.0.0/24", "10.1.1.0/24", "10.1.2.0/24"]) raw.announce(prefix, { asPath: [65_020] });
    expect(await raw.notification()).toEqual([6, 1]);
    await saysSo("many", /the peer announced more than the 2 IPv4 prefixes it may \(maxPrefixes\).*It is let in again in (300|2\d\d) s\./);
  });
  test("shut down by an operator", async () => {
    await establish(21);
    await daemon.podway("peers", "shutdown", "shut", "--text", "new cable");
    await saysSo("shut", /is Idle for \d+ s: shut down by an operator: new cable\. It went down once/);
  });
  test("further away than ttlSecurity says", { timeout: 40_000 }, async () => {
    // The kernel's answer that nothing listens there comes with its usual TTL of 64, and is not heard.
    await saysSo("far", /no answer \(it is down, or a firewall drops the packets, or it is further away than ttlSecurity says\)/);
  });
});
