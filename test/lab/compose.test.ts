import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { composeFile } from "#lab/compose.ts";
import { readLabDocument } from "#lab/document.ts";
import { printYaml } from "#lab/yaml-text.ts";

const quickstart = "topology/quickstart.yaml";

test("docker-compose.yml is what quickstart.yaml compiles to", () => {
  expect(composeFile(readLabDocument(quickstart), quickstart)).toBe(readFileSync("docker-compose.yml", "utf8"));
});

describe("the compose file of quickstart", () => {
  const compose = parse(composeFile(readLabDocument(quickstart), quickstart));

  test("has a service for every machine that is neither a switch nor a pod", () => {
    expect(Object.keys(compose.services).sort()).toEqual(["etcd", "n1", "n2", "n3", "rr1", "server", "tor"]);
  });

  test("gives every machine its addresses, and the engine none of theirs", () => {
    expect(compose.services.n2.networks.sw0).toEqual({ interface_name: "eth1", ipv4_address: "10.0.0.22", ipv6_address: "fd00::22" });
    expect(compose.networks.sw0.ipam.config).toEqual([
      { subnet: "10.0.0.0/24", gateway: "10.0.0.254" },
      { subnet: "fd00::/64", gateway: "fd00::ffff:ffff:ffff:ffff" },
    ]);
    const taken = Object.values<{ networks: Record<string, Record<string, string>> }>(compose.services).flatMap(({ networks }) =>
      Object.values(networks).flatMap(Object.values),
    );
    for (const { gateway } of compose.networks.sw0.ipam.config) expect(taken).not.toContain(gateway);
  });

  test("starts the daemons with the topology they are part of, after the store", () => {
    expect(compose.services.rr1.command).toEqual(["podwayd", "--topology", "/etc/podway/quickstart.yaml", "--node", "rr1"]);
    expect(compose.services.rr1.depends_on).toEqual(["etcd"]);
    expect(compose.services.rr1.volumes[0]).toBe("./topology:/etc/podway:ro");
  });

  test("sets static routes before the program", () => {
    expect(compose.services.server.command.at(-1)).toBe("ip route replace 0.0.0.0/0 via 10.99.0.1 && ip route replace ::/0 via fd99::1 && exec sleep infinity");
  });
});

test("whatever is printed as YAML is read back as it was", () => {
  const text = fc.oneof(fc.string(), fc.constantFrom("yes", "off", "1e3", "0x1f", "12:30", "- a", "a: b", "#", "~", "null", "", "10.0.0.1", "!x", "*y"));
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof(
      { depthSize: "small" },
      text,
      fc.integer(),
      fc.boolean(),
      fc.array(tie("value"), { maxLength: 3 }),
      fc.dictionary(text, tie("value"), { maxKeys: 3 }),
    ),
  }));
  fc.assert(
    fc.property(fc.dictionary(text, value, { maxKeys: 4 }), (map) => {
      const plain = JSON.parse(JSON.stringify(map));
      expect(parse(printYaml(plain))).toEqual(plain);
      expect(parse(printYaml(plain), { version: "1.1" })).toEqual(plain);
    }),
    { numRuns: 1000 },
  );
});
