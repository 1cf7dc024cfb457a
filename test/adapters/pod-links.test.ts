/** Pods' links in the real kernel: a node's namespace and a pod's, judged by iproute2 and by packets. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseIp, parseMac } from "#base/ip.ts";
import type { PodLink } from "#base/pod-link.ts";
import { parsePrefix } from "#base/prefix.ts";
import { PodLinks } from "#adapters/pod-links.ts";
import { planAttachment, podGateways } from "#overlay/attach.ts";
import { kernelMissing, Namespace } from "../contract/kernel-netns.ts";

const link: PodLink = {
  hostDevice: "pw0123456789a",
  hostMac: parseMac("02:00:00:00:00:01")!,
  alias: "podway pod c1 eth0",
  device: "eth0",
  mac: parseMac("02:00:00:00:00:02")!,
  mtu: 1450,
  addresses: [
    { address: parseIp("10.9.0.2")!, gateway: podGateways[4] },
    { address: parseIp("fd09::2")!, gateway: podGateways[6] },
  ],
  routes: [
    { destination: parsePrefix("0.0.0.0/0")!, gateway: podGateways[4] },
    { destination: parsePrefix("::/0")!, gateway: podGateways[6] },
  ],
};

describe.skipIf(kernelMissing !== undefined)(`pods' links${kernelMissing ?? ""}`, () => {
  let node: Namespace, pod: Namespace, links: PodLinks, leave: () => void;
  const path = (): string => `/run/netns/${pod.name}`;
  const make = (of: PodLink = link): ReturnType<PodLinks["make"]> => links.make(of, path(), planAttachment(of, true));

  beforeAll(() => {
    node = new Namespace("pods-node");
    pod = new Namespace("pods-pod");
    leave = node.enter();
    links = new PodLinks();
  });
  afterAll(() => {
    links.close();
    leave();
    node.remove();
    pod.remove();
  });

  it("makes the pair, both families, and packets pass at once", async () => {
    expect(await make()).toBeUndefined();
    node.ip("addr add 10.0.0.21/32 dev lo");
    node.ip("route add 10.9.0.2/32 dev pw0123456789a");
    node.ip("-6 addr add fd00::21/128 dev lo nodad");
    node.ip("-6 route add fd09::2/128 dev pw0123456789a");
    expect(pod.json("addr show dev eth0")[0]).toMatchObject({ mtu: 1450, address: "02:00:00:00:00:02", operstate: "UP" });
    expect(pod.ip("route show")).toContain("default via 169.254.1.1 dev eth0");
    expect(pod.ip("-6 route show")).toContain("default via fe80::1 dev eth0");
    expect(pod.exec("ping -c1 -W2 10.0.0.21")).toContain("1 received");
    expect(pod.exec("ping -c1 -W2 fd00::21")).toContain("1 received");
    // The node asks for the pod itself, from an address that is not the gateway's.
    node.exec("ping -c1 -W2 10.9.0.2");
    expect(node.ip("route get 10.9.0.2")).not.toContain("src 169.254.1.1");
    // Who was not told of the gateway's MAC may ask for it, as a pod set up by somebody else does.
    pod.ip("neigh del 169.254.1.1 dev eth0");
    expect(pod.exec("ping -c1 -W2 10.0.0.21")).toContain("1 received");
    expect(await links.wayTo(parseIp("10.9.0.2")!)).toBe("pw0123456789a");
    expect(await links.wayTo(parseIp("10.9.0.3")!)).toBeUndefined();
    expect(node.json("link show dev pw0123456789a")[0]).toMatchObject({ ifalias: "podway pod c1 eth0" });
    expect(await links.mtuOf(parseIp("169.254.1.1")!)).toBe(1450);
    expect(await links.seePod(path(), "eth0")).toMatchObject({ mac: "02:00:00:00:00:02", up: true });
  });

  it("refuses a name that is taken in the pod, and leaves what is there alone", async () => {
    const other: PodLink = { ...link, hostDevice: "pwffffffffff0" };
    expect(await links.make(other, path(), planAttachment(other, true))).toMatchObject({ code: "attach.exists" });
    expect(pod.ip("link show eth0")).toContain("eth0");
    expect(node.json("link show").map((each) => each["ifname"])).not.toContain(other.hostDevice);
  });

  it("makes its own link anew: a killed daemon may have left half of it", async () => {
    pod.ip("addr flush dev eth0");
    expect(await make()).toBeUndefined();
    expect(pod.ip("addr show eth0")).toContain(link.addresses[0]!.address);
  });

  it("removes the pair once, and again without complaint", async () => {
    expect(await links.remove(link.hostDevice)).toBe(true);
    expect(await links.remove(link.hostDevice)).toBe(false);
    expect(pod.json("link show").map((each) => each["ifname"])).toEqual(["lo"]);
  });

  it("a step the kernel refuses takes the link away again", async () => {
    const bad: PodLink = { ...link, routes: [{ destination: parsePrefix("10.77.0.0/16")!, gateway: parseIp("10.88.0.1")! }] };
    const steps = planAttachment(bad, true).filter((step) => step.do !== "route" || step.gateway !== undefined);
    expect(await links.make(bad, path(), steps)).toMatchObject({ code: "attach.failed" });
    expect(node.json("link show").map((each) => each["ifname"])).toEqual(["lo"]);
  });

  it("a namespace that is gone, and a file that is none, are said", async () => {
    expect(await links.make(link, "/run/netns/t-none", planAttachment(link, true))).toMatchObject({ code: "attach.no-netns" });
    expect(await links.make(link, "/etc/hostname", planAttachment(link, true))).toMatchObject({ code: "attach.no-netns" });
  });

  it("replaces what a crash of ours left, and not what is another's", async () => {
    node.ip("link add pw0123456789a type veth peer name left0");
    expect(await make()).toBeUndefined();
    await links.remove(link.hostDevice);
    node.ip("link add pw0123456789a type veth peer name left0");
    node.ip("link set pw0123456789a alias somebody");
    expect(await make()).toMatchObject({ code: "attach.exists" });
    node.ip("link del pw0123456789a");
  });

  it("without a namespace both ends stay here, the pod's untouched for its owner", async () => {
    const here = { ...link, device: "pwc123456789a" };
    expect(await links.make(here, undefined, planAttachment(here, false))).toBeUndefined();
    expect(node.json("addr show dev pwc123456789a")[0]).toMatchObject({ operstate: "DOWN", address: "02:00:00:00:00:02" });
    expect(await links.remove(here.hostDevice)).toBe(true);
  });
});
