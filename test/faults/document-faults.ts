/** The document changes while packets flow: who reflects, and how a pool's packets go. What it says at the end is what it said at first. */
import { awaitFact } from "#lab/command.ts";
import type { Fault, Measured, Scene } from "./fault.ts";
import { daemons, type FaultLab, nodes } from "./lab.ts";

const settleMillis = 90_000;

/** Sessions inside the cluster by machine, as a document gives them. */
type Sessions = Readonly<Record<string, readonly string[]>>;

const mesh: Sessions = Object.fromEntries(daemons.map((name) => [name, daemons.filter((other) => other !== name)]));
const by = (reflectors: readonly string[]): Sessions =>
  Object.fromEntries(daemons.map((name) => [name, daemons.filter((other) => other !== name && (reflectors.includes(name) || reflectors.includes(other)))]));

interface Step {
  readonly name: string;
  readonly change: (text: string) => string;
  readonly sessions: Sessions;
}

const reflecting = (text: string, nodeName: string): string => text.replace(`  ${nodeName}: { `, `  ${nodeName}: { roles: [node, reflector], `);
const toMesh: Step = { name: "a mesh", change: (text) => text.replace("asn: 64512", "asn: 64512\nreflection: mesh"), sessions: mesh };
const toTwoNodes: Step = {
  name: "n1 and n2 as reflectors",
  change: (text) => reflecting(reflecting(text.replace("roles: [reflector]", "roles: [node]"), "n1"), "n2"),
  sessions: by(["n1", "n2"]),
};
const toTwo: Step = { name: "rr1 and n3 as reflectors", change: (text) => reflecting(text, "n3"), sessions: by(["rr1", "n3"]) };
const asItWas: Step = { name: "rr1 as reflector", change: (text) => text, sessions: by(["rr1"]) };

const withoutRestart = (text: string): string => text.replace(/^gracefulRestart: .*$/m, "gracefulRestart: off");

export const documentFaults: readonly Fault[] = [
  {
    name: "reflectors-as-a-set",
    what: "reflector → mesh → reflector → two others → the first and another → mesh → the first, each by one apply",
    loss: "none",
    run: (scene) => walk(scene, [toMesh, asItWas, toTwoNodes, toTwo, toMesh, asItWas]),
  },
  {
    name: "reflectors-no-restart",
    what: "the same without graceful restart: nothing is kept that is not told",
    loss: "none",
    prepare: (lab) => settle(lab, { ...asItWas, change: withoutRestart }),
    run: (scene) => walk(scene, [toMesh, toTwoNodes, toTwo, asItWas], withoutRestart),
    restore: (lab) => settle(lab, asItWas),
  },
  {
    name: "one-of-two-reflectors",
    what: "two reflectors, one of them SIGKILLed for 60 s",
    loss: "none",
    prepare: (lab) => settle(lab, toTwo),
    run: (scene) => away(scene, "rr1"),
    restore: (lab) => settle(lab, asItWas),
  },
  {
    name: "one-of-two-no-restart",
    what: "the same without graceful restart",
    loss: "none",
    prepare: (lab) => settle(lab, { ...toTwo, change: (text) => withoutRestart(toTwo.change(text)) }),
    run: (scene) => away(scene, "rr1"),
    restore: (lab) => settle(lab, asItWas),
  },
  { name: "all-reflectors-60s", what: "the reflector SIGKILLed for 60 s: nodes peer among themselves meanwhile", loss: "none", run: allGone },
  {
    name: "pool-bgp-vxlan-bgp",
    what: "pool routed from bgp to vxlan and back, every pod pinging",
    loss: "none",
    spares: "server", // the router is told of routed pools alone
    run: movePool,
  },
];

async function walk({ lab, say }: Scene, steps: readonly Step[], also: (text: string) => string = (text) => text): Promise<Measured> {
  const wrong: string[] = [];
  for (const step of steps) {
    say(`apply: ${step.name}`);
    const left = await settle(lab, { ...step, change: (text) => also(step.change(text)) });
    if (left !== undefined) wrong.push(left);
  }
  return { wrong };
}

/** Applies and waits until the sessions are those of the document and no others; a sentence if they are not in time. */
async function settle(lab: FaultLab, { name, change, sessions }: Step): Promise<string | undefined> {
  await lab.apply(change(lab.document));
  lab.sessions = sessions;
  let last = "";
  const fact = await awaitFact(async () => ((last = await otherwise(lab, sessions)) === "" ? true : undefined), { millis: settleMillis, everyMillis: 200 });
  return fact ? undefined : `${name}: ${last}`;
}

async function otherwise(lab: FaultLab, sessions: Sessions): Promise<string> {
  for (const name of daemons) {
    const inside = (await lab.peers(name)).filter((peer) => (daemons as readonly string[]).includes(peer.name));
    const up = inside.filter(({ state }) => state === "Established").map((peer) => peer.name);
    if (up.toSorted().join() !== sessions[name]!.toSorted().join())
      return `${name} has sessions with ${up.join(", ") || "nobody"}, not with ${sessions[name]!.join(", ")}`;
    if (inside.length > up.length) return `${name} still has ${inside.length - up.length} other sessions to set up or let go of`;
  }
  return "";
}

async function away({ lab, outage }: Scene, name: string): Promise<void> {
  await lab.kill(name);
  await outage(60);
  await lab.start(name);
}

async function allGone({ lab, outage }: Scene): Promise<Measured> {
  await lab.kill("rr1");
  const meshed = async (): Promise<true | undefined> => {
    for (const name of nodes) {
      const up = (await lab.peers(name)).filter(({ state }) => state === "Established").map((peer) => peer.name);
      if (!nodes.every((other) => other === name || up.includes(other))) return undefined;
    }
    return true;
  };
  const fact = await awaitFact(meshed, { millis: 40_000, everyMillis: 200 });
  await outage(60);
  await lab.start("rr1");
  return { wrong: fact ? [] : ["40 s after the only reflector went the nodes do not peer among themselves"] };
}

async function movePool({ lab, say }: Scene): Promise<Measured> {
  const wrong: string[] = [];
  const here = "cidr: 10.42.0.0/16, nodePrefix: 24, backend: ";
  const goes = async (way: "pw-vx44" | "eth1"): Promise<void> => {
    let last = "";
    const looked = async (): Promise<true | undefined> => {
      for (const node of nodes) {
        last = await lab.in(node, ["ip", "-4", "route", "show", "proto", "117"]);
        const others = last.split("\n").filter((line) => line.startsWith("10.42.") && !line.startsWith("blackhole"));
        if (others.length !== nodes.length - 1 || !others.every((line) => line.includes(`dev ${way}`))) return undefined;
        const links = await lab.in(node, ["ip", "-o", "link", "show", "type", "vxlan"]);
        if (links.includes("pw-vx44") !== (way === "pw-vx44")) return undefined;
      }
      return true;
    };
    if (!(await awaitFact(looked, { millis: settleMillis, everyMillis: 200 })))
      wrong.push(`not all of 10.42.0.0/16 goes by ${way}: ${last.replaceAll("\n", " | ")}`);
  };
  say("apply: pool routed by vxlan");
  await lab.apply(lab.document.replace(`${here}bgp`, `${here}vxlan, vni: 44, crossSubnet: false`));
  await goes("pw-vx44");
  say("apply: pool routed by bgp");
  await lab.apply(lab.document);
  await goes("eth1");
  return { wrong };
}
