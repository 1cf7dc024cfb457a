/** The house, as data: rooms and floors (src/README.md), words, names and budgets. breaches.ts compares the tree with it. */
export interface Room {
  /** 0 values, 1 wire, 2 machines and ports, 3 adapters, 4 daemon, 5 doors, 6 the two entries. */
  readonly floor: number;
  /** Rooms below (or single files, with a slash) that may be imported. */
  readonly may: readonly string[];
  /** Modules of Node: none, any, or these (without `node:`). */
  readonly node: "none" | "any" | readonly string[];
  /** npm packages. */
  readonly npm: readonly string[];
}

const values: Omit<Room, "floor" | "may"> = { node: "none", npm: [] };

/** Key: folder of src/; `entry` stands for the files directly in src/. A room that is not listed may not exist. */
export const rooms: Readonly<Record<string, Room>> = {
  base: { floor: 0, may: [], ...values },
  wire: { floor: 1, may: ["base"], ...values },
  ports: { floor: 2, may: ["base"], ...values },
  bgp: { floor: 2, may: ["base", "wire"], ...values },
  bfd: { floor: 2, may: ["base", "wire"], ...values },
  ipam: { floor: 2, may: ["base"], ...values },
  overlay: { floor: 2, may: ["base"], ...values },
  config: { floor: 2, may: ["base"], node: "none", npm: ["zod", "yaml", "ipaddr.js"] },
  adapters: { floor: 3, may: ["base", "wire", "ports"], node: "any", npm: ["etcd3", "koffi", "node-netlink", "pino", "prom-client"] },
  daemon: { floor: 4, may: ["base", "wire", "ports", "bgp", "bfd", "ipam", "overlay", "config", "adapters"], node: "any", npm: ["rxjs"] },
  api: {
    floor: 5,
    may: ["base", "config", "adapters/socket-path.ts", "daemon/control.ts", "daemon/operator-control.ts", "daemon/pod-control.ts"],
    node: ["http", "net", "fs", "fs/promises", "path", "stream"],
    npm: ["hono", "@hono/node-server"],
  },
  cli: {
    floor: 5,
    may: ["base", "config", "daemon/control.ts", "daemon/operator-control.ts", "daemon/pod-control.ts", "daemon/policy-tests.ts"],
    node: "any",
    npm: ["commander", "picocolors"],
  },
  cni: { floor: 5, may: [], node: ["fs", "net", "crypto", "child_process"], npm: [] },
  docker: {
    floor: 5,
    may: ["base", "adapters/files.ts", "adapters/socket-path.ts", "daemon/pod-control.ts"],
    node: ["http", "fs/promises", "crypto"],
    npm: [],
  },
  lab: { floor: 5, may: ["base", "config", "daemon/control.ts", "daemon/operator-control.ts", "daemon/pod-control.ts"], node: "any", npm: ["commander"] },
  host: { floor: 5, may: ["base", "ports", "config", "ipam", "overlay", "adapters", "daemon"], node: "any", npm: [] },
  entry: { floor: 6, may: ["base", "config", "daemon", "api", "cli", "docker", "host", "lab"], node: "any", npm: [] },
};

/** Floors up to this one decide and nothing else: no I/O, clock, promise or chance. */
export const lastSilentFloor = 2;

/** What floors 0 to 2 may not say, outside comments and strings. `inPorts`: interfaces may speak of it. */
export const bannedWords: readonly { readonly name: string; readonly pattern: RegExp; readonly inPorts?: boolean }[] = [
  { name: "async", pattern: /(?<![.\w])async\b(?!\s*:)/ },
  { name: "await", pattern: /(?<![.\w])await\b/ },
  { name: "Promise", pattern: /\bPromise\b/, inPorts: true },
  { name: "setTimeout", pattern: /\bsetTimeout\b/ },
  { name: "setInterval", pattern: /\bsetInterval\b/ },
  { name: "setImmediate", pattern: /\bsetImmediate\b/ },
  { name: "queueMicrotask", pattern: /\bqueueMicrotask\b/ },
  { name: "Date.now", pattern: /\bDate\s*\.\s*now\b/ },
  { name: "new Date", pattern: /\bnew\s+Date\b/ },
  { name: "performance", pattern: /(?<![.\w])performance\s*\./ },
  { name: "Math.random", pattern: /\bMath\s*\.\s*random\b/ },
  { name: "process", pattern: /(?<![.\w])process\s*[.[]/ },
  { name: "console", pattern: /(?<![.\w])console\s*[.[]/ },
];

/** Files whose names say nothing. */
export const emptyNames = /(^|[-/])(index|utils?|helpers?|common|manager|misc|shared|stuff|handler2)([-.]|$)/;
/** Nouns in kebab-case; a test says which noun it tests. */
export const goodName = /^[a-z0-9]+(-[a-z0-9]+)*(\.test|\.config)?\.(ts|mjs)$/;

export const budgets = { fileLines: 400, medianLines: 150, lineCharacters: 160 } as const;

/** Flat numbers instead of values, for speed: exempt from sizes and nesting (oxlint.json lists the same files). */
export const hotFiles = [
  /^src\/bgp\/rib\/[^/]+\.ts$/,
  /^src\/bgp\/reflector\/(pack|update-group|lane)\.ts$/,
  /^src\/wire\/rtnetlink[^/]*\.ts$/,
  /^src\/wire\/bgp\/message\.ts$/,
] as const;

/** The top level, complete. */
export const topLevel = [
  ".ci",
  ".gitignore",
  ".npmrc",
  "CHANGELOG.md",
  "LICENSE",
  "README.md",
  "deploy",
  "docker-compose.yml",
  "package-lock.json",
  "package.json",
  "src",
  "test",
  "topology",
  "tsconfig.json",
] as const;

/** What may lie about in a working tree without being part of it. */
export const notTheTree = /^(\.git|node_modules|dist|\.cache)$|\.log$/;

/** Addresses of one machine, or of where packages were fetched, do not belong into a tree that others clone. */
export const foreignAddresses: readonly { readonly name: string; readonly pattern: RegExp }[] = [
  { name: "a path of one machine", pattern: /(^|[\s"'`(=:])\/(work|home|Users)\/[\w.-]/m },
  { name: "a scratch path", pattern: /\/tmp\/w\// },
  { name: "a download address", pattern: /"resolved":\s*"http|https?:\/\/[^\s"'/]*(registry|npmjs|artifactory|nexus)|^\s*registry\s*=/im },
];
