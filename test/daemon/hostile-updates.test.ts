/** A neighbour that sends malformed UPDATEs to a daemon that runs: the session and the routes beside survive as RFC 7606 says, and all of it can be seen. */
import { request } from "node:http";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { messageType } from "#wire/bgp/constants.ts";
import type { PeerErrorsView } from "#daemon/control.ts";
import { DaemonProcess, freePort, until } from "./daemon-process.ts";
import { changed, loopbackDocument } from "./documents.ts";
import { message } from "./messages.ts";
import { RawPeer } from "./raw-peer.ts";

const asn = 65001;
const origin = "40010100",
  path = "400206 0201 0000fde9",
  hop = "400304 7f00000c",
  good = origin + path + hop,
  net = "18 0a0800"; // 10.8.0.0/24

const octets = (text: string): Buffer => Buffer.from(text.replaceAll(" ", ""), "hex");
function update(attributes: string, nlri: string, withdrawn = ""): Uint8Array {
  const [gone, list] = [octets(withdrawn), octets(attributes)];
  return message(
    messageType.update,
    Buffer.concat([Buffer.of(gone.length >> 8, gone.length & 255), gone, Buffer.of(list.length >> 8, list.length & 255), list, octets(nlri)]),
  );
}

function metrics(socketPath: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, path: "/metrics" }, (response) => {
      let body = "";
      response.on("data", (chunk: Buffer) => (body += chunk.toString()));
      response.on("end", () => resolve(body));
    });
    asked.once("error", reject).end();
  });
}

describe("malformed UPDATEs to a running daemon", () => {
  let port: number, daemon: DaemonProcess, peer: RawPeer, document: string;
  const establish = async (): Promise<void> => {
    peer = await RawPeer.establish({ port, local: "127.0.0.12", asn });
    peer.keepAlive();
    peer.announce("10.8.1.0/24", { asPath: [asn] });
    await daemon.until("the route beside", ({ routes }) => routes.ipv4 === 1);
  };
  beforeAll(async () => {
    port = await freePort();
    document = loopbackDocument({ port });
    daemon = new DaemonProcess("rr", document).start();
    await daemon.until("it listens", ({ listen }) => listen.state === "listening");
    await establish();
  });
  afterAll(async () => {
    peer.destroy();
    await daemon.dispose();
  });
  const errors = (): Promise<PeerErrorsView> => daemon.get("/v1/peers/errors?name=ext");

  test.each([
    ["§7.1 ORIGIN 9", `40010109 ${path}${hop}`],
    ["§7.2 AS_PATH cut in a segment", `${origin}400206 0202 0000fde9 ${hop}`],
    ["§3 c NEXT_HOP with the Optional bit", `${origin}${path}c00304 7f00000c`],
    ["§7.8 COMMUNITIES of 3 octets", `${good}c00803 000000`],
    ["§3 d no AS_PATH", origin + hop],
    ["§4 an overrun", `${good}c00840 00`],
    ["RFC 7607 AS 0", `${origin}40020a 0202 0000fde9 00000000 ${hop}`],
  ])("%s: its route goes, the one beside and the session stay", async (_, attributes) => {
    peer.announce("10.8.0.0/24", { asPath: [asn] });
    await daemon.until("its route", ({ routes }) => routes.ipv4 === 2);
    const before = (await errors()).withdrawn;
    peer.send(update(attributes, net));
    await daemon.until("its route is gone", ({ routes }) => routes.ipv4 === 1);
    expect(await daemon.peer("ext")).toMatchObject({ state: "Established", flaps: 0 });
    expect((await errors()).withdrawn).toBe(before + 1);
  });

  test("§7.5, §7.6, §7.7: what costs the attribute alone costs no route", async () => {
    peer.send(update(`${good}400504 00000064 400601 00 c00703 000000`, net));
    await daemon.until("its route", ({ routes }) => routes.ipv4 === 2);
    expect(await errors()).toMatchObject({ discarded: 1 });
    peer.withdraw("10.8.0.0/24");
    await daemon.until("it is withdrawn", ({ routes }) => routes.ipv4 === 1);
  });

  test("the last ones are shown whole, in JSON, on the screen and among the metrics", async () => {
    const { messages, name, address } = await errors();
    expect([name, address]).toEqual(["ext", "127.0.0.12"]);
    expect(messages.at(-1)).toMatchObject({ treatment: "discard", attributes: [5, 6, 7], prefixes: ["10.8.0.0/24"], prefixCount: 1 });
    expect(messages.at(-1)!.octets).toBe(Buffer.from(update(`${good}400504 00000064 400601 00 c00703 000000`, net)).toString("hex"));
    const screen = await daemon.podway("peers", "errors", "ext");
    expect(screen.out).toContain("attribute discarded: LOCAL_PREF from an external peer; ATOMIC_AGGREGATE with a length of 1; AGGREGATOR with a length of 3");
    expect(JSON.parse((await daemon.podway("peers", "errors", "ext", "--json")).out)).toMatchObject({ name: "ext", discarded: 1 });
    expect(await metrics(daemon.api)).toContain('podway_bgp_malformed_updates_total{peer="127.0.0.12",treatment="discard"} 1\n');
    expect(daemon.log.filter(({ event }) => event === "bgp.malformed").length).toBeGreaterThan(5);
  });

  test("an operator has an attribute taken out of routes while the session runs", async () => {
    const attrSet = "c08004 0000fde8";
    daemon.write(changed(document, "timers:", "attributes: [{ type: 128, do: treat-as-withdraw }]\ntimers:"));
    daemon.signal("SIGHUP");
    await peer.message(messageType.routeRefresh);
    peer.send(update(good + attrSet, net));
    await until("it is counted", async () => (await errors()).configured === 1);
    expect((await daemon.status()).routes.ipv4).toBe(1);
    daemon.write(changed(document, "timers:", "attributes: [{ type: 128, do: discard }]\ntimers:"));
    daemon.signal("SIGHUP");
    await peer.message(messageType.routeRefresh);
    peer.send(update(good + attrSet, net));
    await daemon.until("its route", ({ routes }) => routes.ipv4 === 2);
    expect(await daemon.peer("ext")).toMatchObject({ state: "Established", flaps: 0 });
    daemon.write(document);
    daemon.signal("SIGHUP");
    await peer.message(messageType.routeRefresh);
  });

  test.each([
    ["§3 a a total length beyond the message", message(messageType.update, Buffer.of(0, 0, 0, 50, 0x40)), [3, 1]],
    ["§3 j a prefix of 33 bits", update(good, "21 0a08000000"), [3, 10]],
    ["§5.3 MP_UNREACH_NLRI with wrong flags", update("c00f03 000201", ""), [3, 4]],
    ["§5.2 malformed with nothing reachable in it", update("40010109", ""), [3, 6]],
    ["§3 g MP_UNREACH_NLRI twice", update("800f03 000201 800f03 000201", ""), [3, 1]],
    ["RFC 4271 §6.3 an unknown well-known attribute", update(`${good}406300`, net), [3, 2]],
  ] as const)("%s: the session is reset, says why, and comes back", async (_, bytes, notification) => {
    const before = (await errors()).reset;
    peer.send(bytes);
    expect(await peer.notification()).toEqual(notification);
    await peer.closed();
    expect(await errors()).toMatchObject({ reset: before + 1 });
    await until("no session", async () => (await daemon.peer("ext"))!.state !== "Established");
    await establish();
  });
});
