/** `npm run replay -- FILE [--calls]`: a recording of `podwayd --record FILE`, run again. Exit code 1 if an answer differs. */
import { replay } from "./replay.ts";

const [file, option] = process.argv.slice(2);
if (file === undefined || (option !== undefined && option !== "--calls")) {
  process.stderr.write("usage: npm run replay -- FILE [--calls]\n");
  process.exit(2);
}
const say = option === "--calls" ? (line: string, number: number): void => void process.stdout.write(`${number} ${line}\n`) : undefined;
const { speaker, calls, compared, differences, routes, end } = await replay(file, say);
const [v4, v6] = speaker.rib.ribs;
process.stdout.write(
  `${calls} calls, ${compared} digests compared, ${differences.length} differ; the recording ${end === undefined ? "breaks off" : `ends: ${end}`}\n`,
);
process.stdout.write(`Loc-RIB: ${v4.chosen} IPv4, ${v6.chosen} IPv6, sha256 ${routes}\n`);
for (const peer of speaker.neighbours.info()) process.stdout.write(`${peer.name}: ${peer.state}, ${peer.reason}\n`);
if (differences.length > 0) process.stdout.write(`first difference: ${differences[0]}\n`);
process.exitCode = differences.length > 0 ? 1 : 0;
