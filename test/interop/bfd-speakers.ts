/** FRR and BIRD with BFD, in their own words, and a BIRD that has many routes. */
import { chmodSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { must, run } from "#lab/command.ts";
import type { BfdWorld } from "./bfd-world.ts";

export interface BfdSpeaker {
  readonly name: string;
  start(world: BfdWorld): Promise<void>;
  /** The session with us as it shows it. */
  bfd(world: BfdWorld): Promise<string>;
  isUp(world: BfdWorld): Promise<boolean>;
  /** Switches its BFD off, and on again, as its operator would. */
  shutdown?(world: BfdWorld, off: boolean): Promise<void>;
}

const frrHome = (world: BfdWorld): string => join(world.directory, "frr");
const vtysh = (world: BfdWorld, daemon: string, ...commands: readonly string[]): string[] => [
  "vtysh",
  "--vty_socket",
  frrHome(world),
  "-d",
  daemon,
  ...commands.flatMap((command) => ["-c", command]),
];

export const frr: BfdSpeaker = {
  name: "FRR",
  async start(world) {
    const home = frrHome(world),
      { us, them, scene } = world;
    mkdirSync(home, { recursive: true });
    writeFileSync(join(home, "zebra.conf"), "");
    const { intervalMillis } = scene;
    writeFileSync(
      join(home, "bfdd.conf"),
      `bfd\n profile pw\n  detect-multiplier 3\n  receive-interval ${intervalMillis}\n  transmit-interval ${intervalMillis}\n`,
    );
    writeFileSync(join(home, "bgpd.conf"), frrConfig({ us, them, multihop: scene.routed }));
    await must("its directory", ["chown", "-R", "frr:frr", home]);
    for (const directory of [join(world.directory, ".."), world.directory]) chmodSync(directory, 0o755);
    for (const name of ["zebra", "bfdd", "bgpd"]) {
      const own = [
        "-f",
        `${home}/${name}.conf`,
        "-z",
        `${home}/zserv.api`,
        "-i",
        `${home}/${name}.pid`,
        "--vty_socket",
        home,
        "-A",
        "127.0.0.1",
        "--log",
        "stdout",
      ];
      const program = world.start("sp", name, [`/usr/lib/frr/${name}`, ...own, ...(name === "bfdd" ? ["--bfdctl", `${home}/bfdd.sock`] : [])]);
      await world.ready(name, program, async () => existsSync(`${home}/${name}.vty`) && (await run(vtysh(world, name, "show version"))).code === 0);
    }
  },
  bfd: (world) => must("vtysh", vtysh(world, "bfdd", "show bfd peers")),
  async isUp(world) {
    return (await this.bfd(world)).includes("Status: up");
  },
  shutdown: async (world, off) => void (await must("vtysh", vtysh(world, "bfdd", "configure terminal", "bfd", "profile pw", off ? "shutdown" : "no shutdown"))),
};

function frrConfig({ us, them, multihop }: { readonly us: string; readonly them: string; readonly multihop: boolean }): string {
  return `frr defaults traditional
router bgp 65001
 bgp router-id 10.9.1.2
 no bgp ebgp-requires-policy
 no bgp network import-check
 neighbor ${us} remote-as 65000
 ${multihop ? `neighbor ${us} ebgp-multihop 2` : "!"}
 ${multihop ? `neighbor ${us} update-source ${them}` : "!"}
 neighbor ${us} bfd
 neighbor ${us} bfd profile pw
 neighbor ${us} timers 20 60
 neighbor ${us} timers connect 1
 address-family ipv4 unicast
  network 10.77.0.0/24
 exit-address-family
 address-family ipv6 unicast
  neighbor ${us} activate
 exit-address-family
`;
}

const birdc = (world: BfdWorld, command: string): Promise<string> => must(`birdc ${command}`, ["birdc", "-s", join(world.directory, "bird.ctl"), command]);

export const bird: BfdSpeaker = {
  name: "BIRD",
  async start(world) {
    const { us, them, scene } = world,
      times = `min rx interval ${scene.intervalMillis} ms; min tx interval ${scene.intervalMillis} ms; multiplier 3;`;
    const config = `router id 10.9.1.2;
protocol device { }
protocol direct { ipv4; ipv6; }
protocol static { ipv4; route 10.77.0.0/24 blackhole; }
protocol bfd { interface "*" { ${times} }; multihop { ${times} }; }
protocol bgp pw {
  local ${them} as 65001; neighbor ${us} as 65000; ${scene.routed ? "multihop 2" : "direct"}; bfd on; hold time 60;
  connect retry time 1; connect delay time 1; error wait time 1, 1;
  ipv4 { import all; export where source = RTS_STATIC; }; ipv6 { import all; export all; };
}
`;
    writeFileSync(join(world.directory, "bird.conf"), config);
    const program = world.start("sp", "bird", ["bird", "-f", "-c", "bird.conf", "-s", "bird.ctl"]);
    await world.ready("bird", program, async () => (await run(["birdc", "-s", join(world.directory, "bird.ctl"), "show status"])).stdout.includes("is up"));
  },
  bfd: (world) => birdc(world, "show bfd sessions"),
  async isUp(world) {
    return / Up /.test(await this.bfd(world));
  },
};

/** Switched on, it announces `count` routes; off, it withdraws them all. */
export async function startLoad(world: BfdWorld, count: number): Promise<(on: boolean) => Promise<void>> {
  const routes = Array.from({ length: count }, (_, i) => `route ${16 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}.0/24 blackhole { bgp_med = ${i % 5000}; };`);
  const config = `router id 10.9.9.2;
protocol device { }
protocol static many { disabled; ipv4;
${routes.join("\n")}
}
protocol bgp pw {
  local 10.9.9.2 as 65009; neighbor 10.9.9.1 as 65000; direct; connect retry time 1; connect delay time 1;
  ipv4 { import all; export where source = RTS_STATIC; };
}
`;
  writeFileSync(join(world.directory, "load.conf"), config);
  const control = join(world.directory, "load.ctl"),
    program = world.start("ld", "load", ["bird", "-f", "-c", "load.conf", "-s", "load.ctl"]);
  await world.ready("the load", program, async () => (await run(["birdc", "-s", control, "show status"])).stdout.includes("is up"));
  return async (on) => void (await must("birdc", ["birdc", "-s", control, on ? "enable many" : "disable many"]));
}
