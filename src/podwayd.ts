/** The daemon's entry: arguments in, the house put together, run until told to stop. */
import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { ApiTelemetry } from "#api/server.ts";
import type { Control } from "#daemon/control.ts";
import { readApart } from "#daemon/document-reader.ts";

const usage = `podwayd --topology FILE [--node NAME] [--api SOCKET] [--state DIR] [--docker SOCKET] [--record FILE] [--check] [--log LEVEL]

  --topology FILE  the document; see \`podway manual\`
  --node NAME      which of its nodes this is (default: the host name)
  --api SOCKET     control socket (default: /run/podway/podwayd.sock)
  --state DIR      state directory (default: /var/lib/podway)
  --docker SOCKET  plugin socket for dockerd, /run/docker/plugins/NAME.sock: NAME is the driver's name (default: none)
  --record FILE    write down what the BGP speaker is told, for npm run replay
  --check          validate the document and exit
  --log LEVEL      debug, info (default), warn or error
  --version        print the version and exit
`;
const levels = ["debug", "info", "warn", "error"] as const;
const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as { version: string };

function fail(text: string, code: number): never {
  process.stderr.write(`${text}\n`);
  process.exit(code);
}

function readArguments() {
  try {
    return parseArgs({
      options: {
        topology: { type: "string" },
        node: { type: "string" },
        api: { type: "string" },
        state: { type: "string" },
        docker: { type: "string" },
        log: { type: "string", default: "info" },
        record: { type: "string" },
        check: { type: "boolean", default: false },
        help: { type: "boolean", short: "h", default: false },
        version: { type: "boolean", default: false },
      },
    }).values;
  } catch (cause) {
    return fail(`${cause instanceof Error ? cause.message : String(cause)} (see podwayd --help)`, 2);
  }
}

async function main(): Promise<void> {
  const given = readArguments();
  if (given.help) return void process.stdout.write(usage);
  if (given.version) return void process.stdout.write(`${version}\n`);
  const level = levels.find((name) => name === given.log);
  if (!given.topology) fail("podwayd needs --topology FILE (see podwayd --help).", 2);
  if (!level) fail(`--log ${given.log} is no level: debug, info, warn or error.`, 2);
  const node = given.node ?? hostname();
  const reading = readApart(given.topology, node),
    rest = given.check ? undefined : Promise.all([import("#daemon/service.ts"), import("#api/server.ts")]); // meanwhile
  const first = await reading;
  if (!first.ok) fail(first.fault.text, 1);
  for (const warning of first.value.warnings) process.stderr.write(`${given.topology}:${warning}\n`);
  if (given.check) return void process.stdout.write(`${given.topology} is valid; node ${node} is ${first.value.settings.roles.join(" and ")}.\n`);
  const socket = given.api ?? "/run/podway/podwayd.sock",
    stateDirectory = given.state ?? "/var/lib/podway";
  const [{ runService }, { createServer }] = await rest!;
  const plugin = given.docker === undefined ? undefined : await import("#docker/plugin.ts");
  const doors = (control: Control, telemetry: ApiTelemetry) => [
    createServer(control, telemetry, { socket, group: "podway" }),
    ...(plugin === undefined ? [] : [plugin.createPlugin(control.pods, telemetry, { socket: given.docker!, state: join(stateDirectory, "docker.json") })]),
  ];
  await runService({ file: given.topology, node, stateDirectory, version, level, first: first.value, doors, record: given.record });
}

await main();
