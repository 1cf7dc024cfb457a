/** The configurations of the policy scenario, alike for Podway and BIRD: written anew for each run, since they are long. */

interface PrefixRange {
  readonly prefix: string;
  readonly ge: number;
  readonly le: number;
}

const rulesOfAKind = 5;
const prefixesOfASet = 1000;
/** Of every synthetic route (generator/messages.c). */
const communityOfAll = 3000;

/** Sets that cover what is announced (16.0.0.0/4 in /24) and ask for other lengths, so that each has to be looked up to the end. */
function prefixSet(set: number): readonly PrefixRange[] {
  return Array.from({ length: prefixesOfASet }, (_, i) => {
    const place = (set * prefixesOfASet + i) * 13;
    return { prefix: `${16 + ((place >> 12) & 15)}.${(place >> 4) & 255}.${(place & 15) << 4}.0/20`, ge: 25, le: 28 + (i % 5) };
  });
}
const kinds = Array.from({ length: rulesOfAKind }, (_, i) => i);

export function ourPolicies(topology: string): string {
  const sets = kinds.map((set) => {
    const entries = prefixSet(set).map(({ prefix, ge, le }) => `      - { prefix: ${prefix}, ge: ${ge}, le: ${le} }`);
    return `    set${set}:\n${entries.join("\n")}`;
  });
  const rules = [
    ...kinds.map((i) => `{ when: { prefixes: [{ set: set${i} }] }, then: reject }`),
    ...kinds.map((i) => `{ when: { asPath: ["_${70_001 + i}_"] }, then: reject }`),
    ...kinds.map((i) => `{ when: { largeCommunities: ["65000:${i}:*"] }, then: reject }`),
    ...kinds.slice(1).map((i) => `{ when: { communities: ["${64_990 + i}:*"] }, then: reject }`),
    `{ when: { communities: ["${communityOfAll}:*"] }, then: accept }`,
  ];
  return `${topology.replace("port: 1799", "port: 1798").replace("client: true,", "client: true, import: [twenty], export: [twenty],")}
sets:
  prefixes:
${sets.join("\n")}
policies:
  twenty:
    rules:
${rules.map((rule) => `      - ${rule}`).join("\n")}
`;
}

export function birdPolicies(config: string): string {
  const sets = kinds.map(
    (set) =>
      `define SET${set} = [ ${prefixSet(set)
        .map(({ prefix, ge, le }) => `${prefix}{${ge},${le}}`)
        .join(", ")} ];`,
  );
  const rules = [
    ...kinds.map((i) => `if net ~ SET${i} then reject;`),
    ...kinds.map((i) => `if bgp_path ~ [= * ${70_001 + i} * =] then reject;`),
    ...kinds.map((i) => `if bgp_large_community ~ [(65000, ${i}, *)] then reject;`),
    ...kinds.slice(1).map((i) => `if bgp_community ~ [(${64_990 + i}, *)] then reject;`),
    `if bgp_community ~ [(${communityOfAll}, *)] then accept;`,
    "reject;",
  ];
  const filtered = config.replace("port 1790", "port 1795").replace("ipv4 { import all; export all;", "ipv4 { import filter twenty; export filter twenty;");
  return `${sets.join("\n")}\nfilter twenty {\n  ${rules.join("\n  ")}\n}\n${filtered}`;
}
