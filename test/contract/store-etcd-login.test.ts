/** TLS with client certificates, and name and password, on a real etcd. */
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { EtcdSettings } from "#adapters/etcd-client.ts";
import { createEtcdStore } from "#adapters/etcd-store.ts";
import { FaultError } from "#base/fault.ts";
import type { Secret } from "#base/settings.ts";
import type { Store } from "#ports/store.ts";
import { faultCode, octets } from "./store-contract.ts";
import { type EtcdServer, startEtcd } from "./store-etcd-server.ts";
import { readNews } from "./store-news.ts";

const run = promisify(execFile);
const stores: Store[] = [];

async function makeCertificates(directory: string): Promise<void> {
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  const at = (name: string): string => join(directory, name);
  await run("openssl", ["req", "-x509", ...key, "-days", "2", "-subj", "/CN=ca", "-keyout", at("ca.key"), "-out", at("ca.crt")]);
  await run("openssl", ["req", "-x509", ...key, "-days", "2", "-subj", "/CN=stranger", "-keyout", at("stranger.key"), "-out", at("stranger.crt")]);
  for (const name of ["server", "client"]) {
    writeFileSync(at(`${name}.ext`), "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n");
    await run("openssl", ["req", ...key, "-subj", "/O=podway", "-keyout", at(`${name}.key`), "-out", at(`${name}.csr`)]);
    const sign = ["-CA", at("ca.crt"), "-CAkey", at("ca.key"), "-CAcreateserial", "-days", "2", "-extfile", at(`${name}.ext`)];
    await run("openssl", ["x509", "-req", "-in", at(`${name}.csr`), ...sign, "-out", at(`${name}.crt`)]);
  }
}

function storeAt(url: string, more: Partial<EtcdSettings>): Store {
  const none = { ca: undefined, cert: undefined, key: undefined, username: undefined, password: undefined };
  const store = createEtcdStore({ kind: "etcd", endpoints: [url], prefix: "/podway/t", ...none, ...more }, async (secret: Secret) =>
    "file" in secret ? readFileSync(secret.file, "utf8").trimEnd() : "",
  );
  stores.push(store);
  return store;
}
const sentence = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => "",
    (cause: Error) => `${cause.message} ${String(cause.cause)} ${cause.stack}`,
  );

afterAll(async () => {
  for (const store of stores) await store.close();
});

describe("TLS", () => {
  let etcd: EtcdServer, directory: string;
  const tls = () => ({ ca: join(directory, "ca.crt"), cert: join(directory, "client.crt"), key: join(directory, "client.key") });
  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), "podway-tls-"));
    await makeCertificates(directory);
    etcd = await startEtcd({ ca: join(directory, "ca.crt"), cert: join(directory, "server.crt"), key: join(directory, "server.key") });
  });
  afterAll(async () => {
    await etcd.close();
    rmSync(directory, { recursive: true });
  });

  test("with the right certificates everything works, the watch too", async () => {
    const store = storeAt(etcd.url, tls());
    const news = await readNews(store, "");
    await store.create("a", octets("1"));
    await news.until(({ state }) => state.has("a"));
    await news.stop();
  });
  test("a client without a certificate, with a stranger's, or that does not know the server's issuer is refused in one sentence", async () => {
    expect(await faultCode(storeAt(etcd.url, { ca: tls().ca }).get("a"))).toBe("store.unreachable");
    expect(await faultCode(storeAt(etcd.url, { ...tls(), cert: join(directory, "stranger.crt"), key: join(directory, "stranger.key") }).get("a"))).toBe(
      "store.unreachable",
    );
    const wrong = await storeAt(etcd.url, { ...tls(), ca: join(directory, "stranger.crt") })
      .get("a")
      .catch((cause: unknown) => cause);
    expect(wrong).toBeInstanceOf(FaultError);
    expect((wrong as FaultError).message).toMatch(/^etcd at https:\/\/127\.0\.0\.1:\d+ cannot be reached: .*(certificate|signed|issuer)/);
  });
  test("a certificate file that is missing is named", async () => {
    const missing = await storeAt(etcd.url, { ...tls(), cert: "/nowhere/client.crt" })
      .get("a")
      .catch((cause: unknown) => cause);
    expect((missing as FaultError).message).toContain("/nowhere/client.crt");
    expect((missing as FaultError).fault).toMatchObject({ whose: "world", code: "store.credentials" });
  });
});

describe.each(["simple", "jwt"])("name and password, %s tokens", (kind) => {
  let etcd: EtcdServer, keys: string, password: string, wrong: string;
  const root = (...args: string[]): Promise<string> => etcd.ctl("--user", "root:root-secret", ...args);
  const login = () => ({ username: "n1", password: { file: password } });
  beforeAll(async () => {
    // Signed tokens carry the auth store's revision, so that they go stale; etcd's simple ones die with the server. Both are tried.
    keys = mkdtempSync(join(tmpdir(), "podway-jwt-"));
    await run("openssl", ["genrsa", "-out", join(keys, "key"), "2048"]);
    await run("openssl", ["rsa", "-in", join(keys, "key"), "-pubout", "-out", join(keys, "pub")]);
    etcd = await startEtcd(undefined, kind === "jwt" ? ["--auth-token", `jwt,pub-key=${keys}/pub,priv-key=${keys}/key,sign-method=RS256`] : []);
    password = join(etcd.directory, "password");
    wrong = join(etcd.directory, "wrong");
    writeFileSync(password, "s3cret-of-n1\n");
    writeFileSync(wrong, "s3cret-that-is-wrong\n");
    await etcd.ctl("user", "add", "root:root-secret");
    await etcd.ctl("user", "grant-role", "root", "root");
    await etcd.ctl("user", "add", "n1:s3cret-of-n1");
    await etcd.ctl("role", "add", "podway");
    await etcd.ctl("role", "grant-permission", "podway", "readwrite", "/podway/t/", "--prefix");
    await etcd.ctl("user", "grant-role", "n1", "podway");
    await etcd.ctl("auth", "enable");
  });
  afterAll(async () => {
    await etcd.close();
    rmSync(keys, { recursive: true });
  });

  test("nobody, a wrong password and a foreign prefix are denied in a sentence without the password", async () => {
    expect(await faultCode(storeAt(etcd.url, {}).get("a"))).toBe("store.denied");
    const bad = await sentence(storeAt(etcd.url, { username: "n1", password: { file: wrong } }).get("a"));
    expect(bad).toMatch(/^etcd at http:\S+ does not accept the login .*; check the store's username and password/);
    expect(bad).not.toContain("s3cret");
    const foreign = storeAt(etcd.url, { ...login(), prefix: "/else" });
    expect(await sentence(foreign.create("a", octets("1")))).toMatch(/^etcd at http:\S+ denies access/);
  });
  test("a password that is put right is read anew, without a restart", async () => {
    const file = join(etcd.directory, "changing");
    writeFileSync(file, "s3cret-not-yet");
    const store = storeAt(etcd.url, { username: "n1", password: { file } });
    const news = readNews(store, "", true);
    expect(await faultCode(store.get("a"))).toBe("store.denied");
    writeFileSync(file, "s3cret-of-n1");
    const reader = await news;
    await reader.until(({ seen }) => seen.some(({ kind }) => kind === "snapshot"));
    await reader.stop();
  });
  test("a watch outlives an etcd restart that forgets our token, with nobody calling", async () => {
    const store = storeAt(etcd.url, login());
    const news = await readNews(store, "k/");
    await etcd.kill();
    await etcd.start();
    await root("put", "/podway/t/k/after", "1");
    await news.until(({ state }) => state.has("k/after"));
    expect(news.seen.filter(({ kind }) => kind === "snapshot")).toHaveLength(1);
    await news.stop();
  });
  test("a changed role (which makes signed tokens stale) is survived by calls, leases and the watch", async () => {
    const store = storeAt(etcd.url, login());
    const news = await readNews(store, "r/");
    const { id } = await store.grant(60);
    await root("role", "grant-permission", "podway", "read", "/other");
    expect((await store.create("r/1", octets("1"), id)).done).toBe(true);
    await root("role", "revoke-permission", "podway", "/other");
    expect((await store.keepAlive(id)).ttlSeconds).toBe(60);
    expect((await store.create("r/2", octets("1"), id)).done).toBe(true);
    await news.until(({ state }) => state.size === 2);
    await news.stop();
  });
});

test("a closed store leaves nothing that keeps the process alive", async () => {
  const etcd = await startEtcd();
  try {
    const script = `
      import { createEtcdStore } from "#adapters/etcd-store.ts";
      const store = createEtcdStore({ kind: "etcd", endpoints: [process.argv[1]], prefix: "/x" }, async () => "");
      const stop = new AbortController();
      const { id } = await store.grant(60);
      await store.keepAlive(id);
      for await (const news of store.watch("", stop.signal)) { await store.create("a", new Uint8Array(), id); if (news.kind === "put") stop.abort(); }
      await store.revoke(id);
      await store.close();
      setTimeout(() => { console.log("still alive: " + process.getActiveResourcesInfo().join()); process.exit(3); }, 4000).unref();
      console.log("closed");`;
    const { stdout } = await run(process.execPath, ["--input-type=module", "-e", script, etcd.url], { cwd: join(import.meta.dirname, "../..") });
    expect(stdout).toBe("closed\n");
  } finally {
    await etcd.close();
  }
});
