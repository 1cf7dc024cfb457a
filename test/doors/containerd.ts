/** containerd on one node: `ctr run --cni`, and its CRI plugin asked as a kubelet asks it. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { until } from "../contract/kernel-netns.ts";
import { type CniNode, inNode, need } from "./cni-world.ts";

const configuration = ({ plugins, networks }: CniNode, home: string): string => `version = 2
root = "${home}/root"
state = "${home}/state"
[grpc]
  address = "${home}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/library/box:latest"
  restrict_oom_score_adj = true
  disable_apparmor = true
  disable_tcp_service = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "${plugins}"
    conf_dir = "${networks}"
    max_conf_num = 1
`;

/** The part of the CRI that a kubelet needs for a pod's network (k8s.io/cri-api runtime/v1). */
const protocol = `syntax = "proto3"; package runtime.v1;
service RuntimeService {
  rpc RunPodSandbox(RunPodSandboxRequest) returns (SandboxId); rpc StopPodSandbox(SandboxId) returns (Nothing);
  rpc RemovePodSandbox(SandboxId) returns (Nothing); rpc PodSandboxStatus(SandboxId) returns (PodSandboxStatusResponse);
}
message Nothing {} message SandboxId { string pod_sandbox_id = 1; }
message Metadata { string name = 1; string uid = 2; string namespace = 3; uint32 attempt = 4; }
message PortMapping { int32 protocol = 1; int32 container_port = 2; int32 host_port = 3; string host_ip = 4; }
message Linux { string cgroup_parent = 1; }
message Config { Metadata metadata = 1; string hostname = 2; repeated PortMapping port_mappings = 5; map<string, string> annotations = 7; Linux linux = 8; }
message RunPodSandboxRequest { Config config = 1; }
message Ip { string ip = 1; } message Network { string ip = 1; repeated Ip additional_ips = 2; }
message Status { string id = 1; Network network = 5; } message PodSandboxStatusResponse { Status status = 1; }
`;

interface Grpc {
  readonly credentials: { createInsecure(): unknown };
  loadPackageDefinition(definition: unknown): { readonly runtime: { readonly v1: { readonly RuntimeService: new (to: string, by: unknown) => Service } } };
}
type Service = Readonly<Record<string, (request: object, done: (error: { readonly details: string } | null, reply: unknown) => void) => void>> & {
  close(): void;
};

export class Containerd {
  readonly home: string;
  readonly #node: CniNode;
  #process: ChildProcess | undefined;

  constructor(node: CniNode) {
    this.#node = node;
    this.home = join(node.directory, "containerd");
    mkdirSync(this.home, { recursive: true });
    writeFileSync(join(this.home, "config.toml"), configuration(node, this.home));
    writeFileSync(join(this.home, "cri.proto"), protocol);
  }

  /** `archive`: an image as docker saves it. */
  async start(archive: string): Promise<void> {
    const [program, args] = inNode(this.#node, "containerd", "-c", join(this.home, "config.toml"));
    this.#process = spawn(program, args, { stdio: "ignore" });
    await until("containerd answers", () => existsSync(join(this.home, "containerd.sock")) && this.ctr("version") !== "", 20_000);
    for (const namespace of ["default", "k8s.io"]) this.ctr("-n", namespace, "image", "import", archive);
  }

  async stop(): Promise<void> {
    const child = this.#process;
    if (child === undefined) return;
    const ended = new Promise((resolve) => child.once("close", resolve));
    child.kill("SIGTERM");
    await ended;
  }

  /** ctr's folders of plugins and networks are fixed: they are laid over with the node's. */
  ctr(...args: string[]): string {
    const { plugins, networks, namespace } = this.#node;
    const lay = `mkdir -p /opt/cni/bin /etc/cni/net.d; mount --bind ${plugins} /opt/cni/bin; mount --bind ${networks} /etc/cni/net.d; exec "$@"`;
    const enter = ["-m", "nsenter", `--net=/run/netns/${namespace.name}`, "sh", "-c", lay, "sh", "ctr", "-a", join(this.home, "containerd.sock"), ...args];
    return need("unshare", enter);
  }

  /** One call of the CRI. The client library comes with etcd's. */
  async cri<T>(method: string, request: object): Promise<T> {
    const ofEtcd = createRequire(createRequire(import.meta.url).resolve("etcd3"));
    const grpc = ofEtcd("@grpc/grpc-js") as Grpc,
      loader = ofEtcd("@grpc/proto-loader") as { loadSync(path: string, options: object): unknown };
    const { RuntimeService } = grpc.loadPackageDefinition(loader.loadSync(join(this.home, "cri.proto"), { keepCase: true })).runtime.v1;
    const service = new RuntimeService(`unix:${join(this.home, "containerd.sock")}`, grpc.credentials.createInsecure());
    try {
      return await new Promise<T>((resolve, reject) =>
        service[method]!(request, (error, reply) => (error === null ? resolve(reply as T) : reject(new Error(`${method}: ${error.details}`)))),
      );
    } finally {
      service.close();
    }
  }
}
