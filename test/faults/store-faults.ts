/** etcd away, killed, compacted, unreachable: forwarding does not ask it. */
import type { Ip, Mac } from "#base/ip.ts";
import type { LeaseRecord } from "#base/lease.ts";
import type { Prefix } from "#base/prefix.ts";
import { encodeLease, leaseKey } from "#ipam/lease-record.ts";
import { awaitFact } from "#lab/command.ts";
import type { Fault, Measured, Scene } from "./fault.ts";
import { type FaultLab, nodes } from "./lab.ts";

export const storeFaults: readonly Fault[] = [
  {
    name: "etcd-term-60s",
    what: "etcd stopped (SIGTERM) for 60 s",
    loss: "none",
    flaps: "none",
    async run({ lab, outage }) {
      await lab.terminate("etcd");
      await outage(60);
      await lab.start("etcd");
    },
  },
  {
    name: "etcd-kill-60s",
    what: "etcd killed (SIGKILL), away for 60 s",
    loss: "none",
    flaps: "none",
    async run({ lab, outage }) {
      await lab.kill("etcd");
      await outage(60);
      await lab.start("etcd");
    },
  },
  {
    name: "etcd-compact",
    what: "while n1 is cut off a claim appears, another goes, and the store is compacted: n1 finds both out afterwards",
    loss: "none",
    flaps: "none",
    passing: /10\.43\.25[01]\.|02:00:00:00:25:0[01]/,
    run: compactBehindACut,
  },
  {
    name: "etcd-compact-all",
    what: "etcd killed, then changed and compacted before its clients are back",
    loss: "none",
    flaps: "none",
    async run({ lab, outage }) {
      for (const name of clients) await cut(lab, name);
      try {
        await lab.kill("etcd");
        await lab.start("etcd");
        await churn(lab);
        await outage(20);
      } finally {
        for (const name of clients) await heal(lab, name);
      }
    },
  },
  {
    name: "kill-n1-no-etcd",
    what: "etcd away; n1 SIGKILLed and started again without it; etcd back",
    loss: "none",
    async run({ lab, outage }) {
      await lab.kill("etcd");
      await lab.kill("n1");
      await outage(4);
      await lab.start("n1");
      await outage(40);
      await lab.start("etcd");
    },
  },
  {
    name: "kill-all-no-etcd",
    what: "etcd and every daemon SIGKILLed; daemons started first, etcd later",
    loss: "none",
    async run({ lab, outage }) {
      await Promise.all([...clients, "etcd"].map((name) => lab.kill(name)));
      await Promise.all(clients.map((name) => lab.start(name)));
      await outage(40);
      await lab.start("etcd");
    },
  },
];

const clients = ["n1", "n2", "n3", "rr1"] as const;

/** Drops what `name` says to etcd and hears from it; connections stand, half-open. */
async function cut(lab: FaultLab, name: string): Promise<void> {
  const rules = `table inet fault {
    chain out {
      type filter hook output priority 0
      tcp dport 2379 drop
    }
    chain in {
      type filter hook input priority 0
      tcp sport 2379 drop
    }
  }\n`;
  await lab.in(name, ["nft", "-f", "-"], rules);
}
async function heal(lab: FaultLab, name: string): Promise<void> {
  await lab.in(name, ["nft", "delete", "table", "inet", "fault"]);
}

/** Claims of nodes that are not there: whoever reads the store has tunnel rows for them. */
const ghosts = [250, 251].map((octet) => {
  const cidr = `10.43.${octet}.0/24`,
    node = `ghost${octet}`;
  const record: LeaseRecord = {
    schema: 1,
    node,
    pool: "overlay",
    cidr: cidr as Prefix,
    identity: node,
    address: `10.0.0.${octet}` as Ip,
    vtepMac: `02:00:00:00:25:0${octet - 250}` as Mac,
  };
  return { cidr, key: `/podway/quickstart/${leaseKey("overlay", record.cidr)}`, value: Buffer.from(encodeLease(record)).toString() };
});

async function compactBehindACut({ lab, outage }: Scene): Promise<Measured> {
  const [goes, comes] = ghosts as [(typeof ghosts)[0], (typeof ghosts)[0]],
    wrong: string[] = [];
  const sees = async (node: string): Promise<string> =>
    (await lab.in(node, ["ip", "route", "show", "proto", "117"])).match(/10\.43\.25[01]\.0\/24/g)?.join(" ") ?? "";
  const haveRoute = async (node: string, wanted: string): Promise<void> => {
    const seen = await awaitFact(async () => ((await sees(node)) === wanted ? true : undefined), { millis: 10_000 });
    if (!seen) wrong.push(`${node} has routes to "${await sees(node)}" of the claims that come and go, not to "${wanted}"`);
  };
  await etcd(lab, `await ask("kv/put", { key: btoa(${JSON.stringify(goes.key)}), value: btoa(${JSON.stringify(goes.value)}) });`);
  for (const node of nodes) await haveRoute(node, goes.cidr);
  await cut(lab, "n1");
  try {
    await etcd(
      lab,
      `await ask("kv/deleterange", { key: btoa(${JSON.stringify(goes.key)}) });
      await ask("kv/put", { key: btoa(${JSON.stringify(comes.key)}), value: btoa(${JSON.stringify(comes.value)}) });`,
    );
    await churn(lab);
    await haveRoute("n2", comes.cidr);
    await outage(40);
    await haveRoute("n1", goes.cidr);
  } finally {
    await heal(lab, "n1");
  }
  await haveRoute("n1", comes.cidr);
  await etcd(lab, `await ask("kv/deleterange", { key: btoa(${JSON.stringify(comes.key)}) });`);
  for (const node of nodes) await haveRoute(node, "");
  return { wrong };
}

/** A hundred writes of somebody else's key, then everything before the last is compacted away. */
async function churn(lab: FaultLab): Promise<void> {
  await etcd(
    lab,
    `const key = btoa("/somebody/else");
    let last;
    for (let i = 0; i < 100; i++) last = await ask("kv/put", { key, value: btoa(String(i)) });
    await ask("kv/compaction", { revision: last.header.revision, physical: true });`,
  );
}

/** Runs statements that `ask` etcd (its JSON gateway, API v3). */
export async function etcd(lab: FaultLab, statements: string): Promise<void> {
  const program = `
    const ask = async (path, body) => {
      const answer = await (await fetch("http://127.0.0.1:2379/v3/" + path, { method: "POST", body: JSON.stringify(body) })).json();
      if (!answer.header) throw new Error(path + ": " + JSON.stringify(answer));
      return answer;
    };
    ${statements}`;
  await lab.in("etcd", [process.execPath, "--input-type=module", "-e", program]);
}
