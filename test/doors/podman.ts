/** podman with its CNI backend, on one node. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type CniNode, inNode, need, stockPlugins } from "./cni-world.ts";

/** What this machine's limits and cgroups leave to podman: runc, no cgroup manager of its own, and modest limits. */
const configuration = (node: CniNode): string => `[containers]
default_ulimits=["nofile=1024:4096","nproc=4096:4096"]
[engine]
cgroup_manager="cgroupfs"
events_logger="file"
runtime="runc"
[network]
network_backend="cni"
cni_plugin_dirs=["${node.plugins}","${stockPlugins}"]
network_config_dir="${node.networks}"
`;

export class Podman {
  readonly #node: CniNode;
  readonly #home: string;

  constructor(node: CniNode) {
    this.#node = node;
    this.#home = join(node.directory, "podman");
    mkdirSync(this.#home, { recursive: true });
    writeFileSync(join(this.#home, "containers.conf"), configuration(node));
  }

  run(...args: string[]): string {
    const places = ["--root", join(this.#home, "root"), "--runroot", join(this.#home, "run"), "--tmpdir", join(this.#home, "tmp")];
    return need(...inNode(this.#node, "podman", ...places, "--storage-driver", "vfs", ...args), { CONTAINERS_CONF: join(this.#home, "containers.conf") });
  }

  /** Addresses of a container on a network, IPv4 first. */
  addresses(container: string, network: string): readonly string[] {
    const [{ NetworkSettings }] = JSON.parse(this.run("inspect", container)) as [
      { NetworkSettings: { Networks: Readonly<Record<string, { IPAddress: string; GlobalIPv6Address: string }>> } },
    ];
    const { IPAddress, GlobalIPv6Address } = NetworkSettings.Networks[network]!;
    return [IPAddress, GlobalIPv6Address].filter((address) => address !== "");
  }
}

/** An image of busybox alone, as a tar of its root, and as an archive that containerd imports. */
export function makeImage(directory: string): string {
  const root = join(directory, "image");
  for (const folder of ["bin", "www", "tmp", "etc", "proc", "sys", "dev"]) mkdirSync(join(root, folder), { recursive: true });
  need("cp", ["/bin/busybox", join(root, "bin/busybox")]);
  for (const name of ["sh", "sleep", "ping", "ping6", "ip", "httpd", "wget", "echo", "cat", "nc"]) need("ln", ["-sf", "busybox", join(root, "bin", name)]);
  writeFileSync(join(root, "www", "index.html"), "hello\n");
  const tar = join(directory, "image.tar");
  need("tar", ["-C", root, "-cf", tar, "."]);
  return tar;
}
