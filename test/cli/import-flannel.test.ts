/** `podway import flannel` against a real etcd that holds what flannel writes. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type EtcdServer, startEtcd } from "../contract/store-etcd-server.ts";
import { runProgram } from "../daemon/daemon-process.ts";

const entry = join(import.meta.dirname, "../../deploy/bin/podway.mjs");
const podway = (...args: string[]) => runProgram(process.execPath, [entry, ...args]);
let etcd: EtcdServer, folder: string;

beforeAll(async () => {
  etcd = await startEtcd();
  folder = mkdtempSync(join(tmpdir(), "podway-import-"));
  await etcd.ctl("put", "/coreos.com/network/config", '{ "Network": "10.5.0.0/16", "Backend": { "Type": "vxlan" } }');
  for (const [subnet, address] of [
    ["10.5.52.0-24", "192.168.64.3"],
    ["10.5.9.0-24", "192.168.64.4"],
  ])
    await etcd.ctl(
      "put",
      `/coreos.com/network/subnets/${subnet}`,
      `{"PublicIP":"${address}","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"c6:11:22:33:44:55"}}`,
    );
});
afterAll(async () => {
  await etcd.close();
  rmSync(folder, { recursive: true, force: true });
});

test("the document is printed, accepted as it is, and planned without a fault", async () => {
  const printed = await podway("import", "flannel", "--etcd", etcd.url, "--name", "192.168.64.3=n1");
  expect(printed.code).toBe(0);
  expect(printed.err).toBe("podway: tunnels use UDP port 4789 instead of flannel's 8472, so that both can be there at once: let it pass between the nodes\n");
  expect(printed.out).toContain("n1: 10.5.52.0/24");
  expect(printed.out).toContain("node-192-168-64-4: 10.5.9.0/24");
  writeFileSync(join(folder, "flannel.yaml"), printed.out);
  expect(await podway("check", join(folder, "flannel.yaml"), "--node", "n1")).toMatchObject({ code: 0 });
});

test("another prefix, an etcd that is not there, a bad name", async () => {
  expect(await podway("import", "flannel", "--etcd", etcd.url, "--prefix", "/elsewhere")).toMatchObject({
    code: 1,
    err: "podway: etcd has no key /elsewhere/config: --prefix says where flannel keeps its network.\n",
  });
  const away = await podway("import", "flannel", "--etcd", "http://127.0.0.1:1");
  expect(away.code).not.toBe(0);
  expect(away.err).toMatch(/^podway: etcd does not answer: http:\/\/127.0.0.1:1: connect ECONNREFUSED/);
  expect((await podway("import", "flannel", "--etcd", etcd.url, "--name", "n1")).err).toMatch(/expected ADDRESS=NODE/);
});
