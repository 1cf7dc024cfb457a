// Kernel features, each tried for real in a namespace that is removed again.
import { spawnSync } from "node:child_process";
import { Refusal } from "./run.mjs";

const space = `podway-probe-${process.pid}`;
const probes = [
  { what: "veth devices (CONFIG_VETH)", args: ["-n", space, "link", "add", "probe0", "type", "veth", "peer", "name", "probe1"] },
  { what: "VXLAN devices (CONFIG_VXLAN)", args: ["-n", space, "link", "add", "probe2", "type", "vxlan", "id", "1", "dstport", "4789", "nolearning"] },
  { what: "bridges (CONFIG_BRIDGE)", args: ["-n", space, "link", "add", "probe3", "type", "bridge"] },
];

export function needKernelFeatures(verb) {
  const made = ip(["netns", "add", space]);
  if (made !== undefined) throw new Refusal(`npm run ${verb} needs network namespaces, and this machine does not let us make one (${made}).`);
  try {
    const lacking = probes.map(({ what, args }) => ({ what, why: ip(args) })).filter(({ why }) => why !== undefined);
    if (lacking.length > 0) throw new Refusal(lacking.map(({ what, why }) => `npm run ${verb} needs ${what}, which this kernel lacks (${why}).`).join("\n"));
  } finally {
    ip(["netns", "del", space]);
  }
}

/** Undefined if it went well, else what `ip` said. */
function ip(args) {
  const done = spawnSync("ip", args, { encoding: "utf8" });
  if (done.error) return `ip: ${done.error.code}`;
  return done.status === 0 ? undefined : done.stderr.trim().split("\n")[0] || `ip ended with ${done.status}`;
}
