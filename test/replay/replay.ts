/** Runs a recording again through the same machine and compares what it answers with what it answered then. */
import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import { Speaker, type SpeakerSettings } from "#bgp/speaker.ts";
import { Answers, decodeValue, digestRoutes, placeOf, type RecordLine } from "#daemon/recorder.ts";

export interface Replayed {
  readonly speaker: Speaker;
  readonly calls: number;
  /** Digests that were compared. */
  readonly compared: number;
  /** Lines where an answer differed; the first one is where to look. */
  readonly differences: readonly string[];
  /** The Loc-RIB in the end; null if there was none to compare with. */
  readonly routes: string;
  /** How the recording ends: undefined where it breaks off, as after a crash. */
  readonly end: "stopped" | "full" | undefined;
}

type Call = Extract<RecordLine, { readonly c: string }>;

/** `speak`: called with each call as it is made, and its number. Throws what the machine throws. */
export async function replay(file: string, speak: (line: string, number: number) => void = () => undefined): Promise<Replayed> {
  const run = new Run(speak);
  for await (const text of createInterface({ input: createReadStream(file) })) {
    const line = parse(text);
    if (line === undefined) break; // cut off in the middle of a line
    run.take(line);
  }
  return run.over();
}

function parse(text: string): RecordLine | undefined {
  try {
    return JSON.parse(text, decodeValue) as RecordLine;
  } catch {
    return undefined;
  }
}

class Run {
  readonly #speak: (line: string, number: number) => void;
  readonly #answers = new Answers();
  readonly #chance: number[] = [];
  readonly #differences: string[] = [];
  #speaker: Speaker | undefined;
  /** Made when the next line that is not chance's is there: chance is written after the call that asked for it. */
  #waiting: Call | undefined;
  #calls = 0;
  #compared = 0;
  #end: "stopped" | "full" | undefined;

  constructor(speak: (line: string, number: number) => void) {
    this.#speak = speak;
  }

  take(line: RecordLine): void {
    if ("j" in line) return void this.#chance.push(line.j);
    this.#make();
    if ("settings" in line) this.#speaker = new Speaker({ ...line.settings, jitter: () => this.#chance.shift() ?? 0 } as SpeakerSettings);
    else if ("c" in line) this.#waiting = line;
    else if ("digest" in line) this.#compare(`after call ${line.calls}`, this.#answers.digest(), line.digest);
    else if (line.routes !== null) {
      this.#compare("Loc-RIB", digestRoutes(this.#speaker!), line.routes);
      this.#end = line.end;
    } else this.#end = line.end;
  }

  over(): Replayed {
    this.#make();
    if (!this.#speaker) throw new Error("this is no recording of podwayd: its first line names no settings");
    return {
      speaker: this.#speaker,
      calls: this.#calls,
      compared: this.#compared,
      differences: this.#differences,
      routes: digestRoutes(this.#speaker),
      end: this.#end,
    };
  }

  #compare(what: string, now: string, then: string): void {
    this.#compared++;
    if (now !== then) this.#differences.push(`${what}: ${now.slice(0, 12)} and not ${then.slice(0, 12)}`);
  }

  #make(): void {
    const call = this.#waiting;
    this.#waiting = undefined;
    if (!call) return;
    this.#speak(`${call.c}(${JSON.stringify(call.a).slice(0, 200)})`, ++this.#calls);
    const dot = call.c.lastIndexOf(".");
    const target = placeOf(this.#speaker!, dot < 0 ? "" : call.c.slice(0, dot));
    const name = call.c.slice(dot + 1),
      given = name === "pull" ? [...call.a.slice(0, 3), (bytes: Uint8Array) => this.#answers.bytes(bytes)] : call.a;
    this.#answers.add(call.c, target[name]!.apply(target, given as unknown[]));
    this.#speaker!.rib.takeChanges();
  }
}
