/** etcd away, killed, compacted, unreachable: forwarding does not ask it. */
import { must } from "#lab/command.ts";
import type { Fault } from "./fault.ts";
import type { FaultLab } from "./lab.ts";

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
    what: "store changed and compacted while n1 was cut off from it",
    loss: "none",
    flaps: "none",
    async run({ lab, outage }) {
      await cut(lab, "n1");
      try {
        await churn(lab);
        await outage(40);
      } finally {
        await heal(lab, "n1");
      }
    },
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

/** A hundred writes of somebody else's key, then everything before the last is compacted away. */
async function churn(lab: FaultLab): Promise<void> {
  const program = `
    const ask = async (path, body) => (await fetch("http://127.0.0.1:2379/v3/kv/" + path, { method: "POST", body: JSON.stringify(body) })).json();
    const key = btoa("/somebody/else");
    let last;
    for (let i = 0; i < 100; i++) last = await ask("put", { key, value: btoa(String(i)) });
    const done = await ask("compaction", { revision: last.header.revision, physical: true });
    if (!done.header) throw new Error(JSON.stringify(done));
  `;
  await must("etcd: compaction", ["ip", "netns", "exec", lab.namespace("etcd"), process.execPath, "--input-type=module", "-e", program]);
}
