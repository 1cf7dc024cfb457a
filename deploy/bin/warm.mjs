// Compiles every source file once, so that the programs find them compiled: the part of Node that strips types costs a process
// 30 MB and half its start-up time, and is not loaded when everything it would do is in the cache already.
import { readdirSync } from "node:fs";
import * as module from "node:module";
import { pathToFileURL } from "node:url";
import { setFlagsFromString } from "node:v8";

const [cache, sources] = process.argv.slice(2);
setFlagsFromString("--semi-space-growth-factor=1"); // as in launch.mjs: what is compiled under other flags is not used
module.enableCompileCache(cache);
const files = readdirSync(sources, { recursive: true }).filter((name) => name.endsWith(".ts"));
const imports = files.map((name) => `import ${JSON.stringify(pathToFileURL(`${sources}/${name}`).href)};`);
// Modules are loaded and linked before the first is run, and the first one throws: nothing of what is imported here is run.
const all = `import "data:text/javascript,throw 0";\n${imports.join("\n")}`;
await import(`data:text/javascript,${encodeURIComponent(all)}`).catch(() => {});
