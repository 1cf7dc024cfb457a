/** Where a document stops, and by which rule: each is refused with a sentence that names the limit (never cut, never ignored). */
export const limits = {
  /** The document is one key of etcd, whose requests end at 1.5 MiB. */
  documentOctets: 1_048_576,
  /** Nesting of maps and lists; the schema needs 8. */
  documentDepth: 24,
  /** Values that aliases may add up to. */
  documentAliases: 100,
  /** Problems printed of one document; the rest are counted. */
  problems: 50,
  nodes: 5000,
  pools: 64,
  peers: 4096,
  /** Peers with BFD: each has a session with packets every few hundred milliseconds. */
  bfdPeers: 1000,
  /** Path attributes an operator treats otherwise: there are 255 types. */
  attributes: 64,
  policies: 256,
  policyRules: 1024,
  policyNames: 16,
  policyTests: 1024,
  prefixesPerRule: 4096,
  prefixesPerSet: 20_000,
  /** AS path patterns and communities of one rule, and of one set. */
  patternsPerRule: 1024,
  patternsPerSet: 4096,
  communitiesPerRule: 32,
  /** BMP stations, and folders of MRT files. */
  monitors: 8,
  labels: 64,
  /** Of one pool's `pods:`: ranges of each kind, routes, words of one kind for DNS, namespaces. */
  podRanges: 256,
  podRoutes: 64,
  podDns: 16,
  podNamespaces: 1024,
  endpoints: 16,
  listenAddresses: 16,
  /** Clients one range may admit. */
  rangeClients: 10_000,
  selectorCharacters: 1024,
  /** Nodes of a full mesh: beyond, every node would keep too many sessions (product §6.5). */
  meshNodes: 100,
} as const;
