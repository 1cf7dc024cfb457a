/**
 * What strangers read out of our monitoring: pmacct's `pmbmpd` the BMP stream, `bgpdump` the MRT files. A client announces routes
 * of both families, withdraws some and goes; what the two print must be that, route by route.
 */
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Prefix } from "#base/prefix.ts";
import { encodeUpdate } from "#wire/bgp/update.ts";
import { DaemonProcess, freePort, until } from "../daemon/daemon-process.ts";
import { RawPeer } from "../daemon/raw-peer.ts";
import { spawnProgram } from "./monitoring-program.ts";

const client = "127.2.0.1";
const count = 40;
/** AS_SEQUENCE (RFC 4271 §4.3). */
const asSequence = 2;
const families = [
  { afi: 1, safi: 1 },
  { afi: 2, safi: 1 },
];

interface Sent {
  readonly prefix: string;
  readonly asPath: string;
  readonly communities: string;
}
const asns = (i: number): readonly number[] => [65_001, 4_200_000_000 + i];
const sent4 = Array.from({ length: count }, (_, i): Sent => ({ prefix: `10.${i}.0.0/16`, asPath: asns(i).join(" "), communities: `65001:${i}` }));
const sent6 = Array.from({ length: count }, (_, i): Sent => ({
  prefix: `2001:db8:${(i + 1).toString(16)}::/48`,
  asPath: asns(i).join(" "),
  communities: `65001:${i}`,
}));

function announce(peer: RawPeer): void {
  const attributes = (i: number) =>
    ({
      origin: 0,
      asPath: [{ type: asSequence, asns: Uint32Array.from(asns(i)) }],
      localPref: 100 + i,
      communities: Uint32Array.of(65_001 * 65_536 + i),
    }) as const;
  for (let i = 0; i < count; i++) {
    const nextHop = Uint8Array.of(127, 2, 0, 1),
      nextHop6 = Uint8Array.from({ length: 16 }, (_, at) => (at === 15 ? 1 : at === 0 ? 0xfd : 0));
    peer.send(encodeUpdate({ attributes: { ...attributes(i), nextHop }, nlri: [{ prefix: sent4[i]!.prefix as Prefix }] }, { fourOctetAs: true }));
    peer.send(
      encodeUpdate(
        { attributes: attributes(i), reach: { afi: 2, safi: 1, nextHop: nextHop6, nlri: [{ prefix: sent6[i]!.prefix as Prefix }] } },
        { fourOctetAs: true },
      ),
    );
  }
}

type Line = Readonly<Record<string, unknown>>;

/** One line per promise, with what was seen; false if one was not kept. */
export async function runMonitoring(home: string, say: (line: string) => void): Promise<boolean> {
  const bmpPort = await freePort(),
    port = await freePort(),
    log = join(home, "pmbmpd.json"),
    folder = join(home, "mrt");
  writeFileSync(
    join(home, "pmbmpd.conf"),
    `daemonize: false\nbmp_daemon_ip: 127.0.0.1\nbmp_daemon_port: ${bmpPort}\nbmp_daemon_max_peers: 4\nbmp_daemon_msglog_file: ${log}\n`,
  );
  const station = spawnProgram("pmbmpd", ["-f", join(home, "pmbmpd.conf")], join(home, "pmbmpd.log"));
  const daemon = new DaemonProcess(
    "rr",
    `podway: 1\nname: monitored\nasn: 65000\nstore: none\nlisten: { address: 127.0.0.1, port: ${port} }\ngracefulRestart: off
nodes: { rr: { address: 127.0.0.1, address6: "::1", roles: [reflector], routerId: 10.0.0.1 } }
peers: [ { name: clients, range: 127.2.0.0/16, asn: 65000, client: true, families: [ipv4, ipv6] } ]
monitoring:
  bmp: [ { name: pmacct, address: 127.0.0.1, port: ${bmpPort}, statistics: 1s } ]
  mrt: [ { name: disk, directory: ${folder}, tables: 10s, updates: true, rotate: 1h } ]
`,
  );
  try {
    daemon.start();
    await daemon.until("the station is connected", ({ monitoring, listen }) => monitoring.bmp[0]?.state === "connected" && listen.state === "listening");
    const peer = await RawPeer.establish({ port, local: client, asn: 65_000, capabilities: { families } });
    peer.keepAlive();
    announce(peer);
    await daemon.until("its routes", ({ routes }) => routes.ipv4 === count && routes.ipv6 === count);
    const lines = (): readonly Line[] => readFileSync(log, "utf8").trim().split("\n").flatMap(parsed);
    const updates = (isLoc: number): readonly Line[] => lines().filter((line) => line.log_type === "update" && Number(line.is_loc ?? 0) === isLoc);
    const whole = (): boolean => updates(0).length === 2 * count && updates(1).length === 2 * count;
    await until("pmbmpd has written both views", whole);
    const dump = (): string =>
      readdirSync(folder).find((name) => name.startsWith("rib") && name.endsWith("mrt") && bgpdump(join(folder, name)).length === 2 * count) ?? "";
    await until("a dump of the tables", () => dump() !== "", 30_000);
    peer.destroy();
    await until("pmbmpd has seen the end", () => lines().some((line) => line.bmp_msg_type === "peer_down"));
    await daemon.end();
    await until("pmbmpd has read our last word", () => lines().some((line) => line.bmp_msg_type === "term"));
    const log4 = readdirSync(folder).filter((name) => name.startsWith("updates"));
    return report(say, [
      ["pmbmpd: what the peer sent", same(updates(0).map(ofPmacct), [...sent4, ...sent6])],
      ["pmbmpd: the Loc-RIB", same(updates(1).map(ofPmacct), [...sent4, ...sent6])],
      ["pmbmpd: counts", lines().some((line) => line.bmp_msg_type === "stats") ? "" : "no statistics"],
      ["bgpdump: the tables", same(bgpdump(join(folder, dump())), [...sent4, ...sent6])],
      [
        "bgpdump: the messages",
        same(
          log4.flatMap((name) => bgpdump(join(folder, name))),
          [...sent4, ...sent6],
        ),
      ],
    ]);
  } finally {
    await daemon.dispose();
    await station.stop();
  }
}

function report(say: (line: string) => void, told: readonly (readonly [string, string])[]): boolean {
  for (const [promise, fault] of told) say(`  ${fault === "" ? "yes" : "NO "}  ${promise}${fault === "" ? "" : `: ${fault}`}`);
  return told.every(([, fault]) => fault === "");
}

/** Empty, or the first difference in a sentence. */
function same(read: readonly Sent[], wanted: readonly Sent[]): string {
  const text = ({ prefix, asPath, communities }: Sent): string => `${prefix} | ${asPath} | ${communities}`;
  const a = read.map(text).toSorted(),
    b = wanted.map(text).toSorted();
  const at = b.findIndex((line, i) => line !== a[i]);
  return at < 0 && a.length === b.length
    ? ""
    : `${a.length} routes instead of ${b.length}; first difference: ${a[at] ?? "nothing"} instead of ${b[at] ?? "nothing"}`;
}

function parsed(line: string): readonly Line[] {
  try {
    return [JSON.parse(line) as Line];
  } catch {
    return []; // the last line is being written
  }
}
const ofPmacct = (line: Line): Sent => ({ prefix: String(line.ip_prefix), asPath: String(line.as_path), communities: String(line.comms) });

/** TABLE_DUMP2|time|B|peer|as|prefix|path|origin|next hop|local pref|med|communities|… and the same of BGP4MP|time|A|…. */
function bgpdump(file: string): readonly Sent[] {
  const { stdout } = spawnSync("bgpdump", ["-m", file], { encoding: "utf8" });
  return stdout
    .split("\n")
    .map((line) => line.split("|"))
    .filter((fields) => fields[2] === "B" || fields[2] === "A")
    .map((fields) => ({ prefix: fields[5]!, asPath: fields[6]!, communities: fields[11]! }));
}
