import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { describe, expect, test } from "vitest";
import { ok } from "#base/fault.ts";
import { fixedControl, plan, status } from "../api/fixed-control.ts";
import { directory, running } from "../api/running.ts";
import { podway, podwayOnTerminal } from "./command-line.ts";

/** How every colour starts, and nothing else that podway prints without --watch. */
const colour = "\u001b[";

describe("colours", () => {
  test("on a terminal, unless NO_COLOR, --no-color or a dumb one says otherwise; never into a pipe", async () => {
    const { socket } = await running(fixedControl());
    const words = ["status", "--api", socket];
    expect((await podwayOnTerminal(words)).out).toContain(colour);
    expect((await podwayOnTerminal(words, { env: { NO_COLOR: "1" } })).out).not.toContain(colour);
    expect((await podwayOnTerminal([...words, "--no-color"])).out).not.toContain(colour);
    expect((await podwayOnTerminal(words, { env: { TERM: "dumb" } })).out).not.toContain(colour);
    expect((await podway(words, { env: { FORCE_COLOR: "1", TERM: "xterm" } })).out).not.toContain(colour);
    expect((await podwayOnTerminal([...words, "--json"])).out).not.toContain(colour);
  });

  test("do not change where anything stands", async () => {
    const { socket } = await running(fixedControl());
    const bare = await podway(["status", "--api", socket], { env: { COLUMNS: "80" } });
    const painted = await podwayOnTerminal(["status", "--api", socket]);
    expect(stripVTControlCharacters(painted.out).replaceAll("\r\n", "\n")).toBe(bare.out);
  });
});

describe("--watch", () => {
  /** A daemon whose uptime counts its answers. */
  const counting = (): ReturnType<typeof fixedControl> => {
    let asked = 0;
    return fixedControl({ status: () => ({ ...status, uptimeSeconds: 60 * ++asked }) });
  };

  test("shows it again until it is ended, and ends well", async () => {
    const { socket } = await running(counting());
    const { code, out, err } = await podway(["status", "--watch", "0.1", "--api", socket], { seen: (text) => (text.includes("up 3m") ? "SIGINT" : undefined) });
    expect([code, err]).toEqual([0, ""]);
    expect(out.match(/up \dm/g)!.slice(0, 3)).toEqual(["up 1m", "up 2m", "up 3m"]);
  });

  test("redraws in place on a terminal, and a tall view ends with how much is missing", async () => {
    const { socket } = await running(counting());
    const { out } = await podwayOnTerminal(["status", "--watch", "0.1", "--api", socket], { seen: (text) => (text.includes("up 2m") ? "SIGTERM" : undefined) });
    const frames = out.split("\u001b[H").slice(1);
    expect(frames.length).toBeGreaterThanOrEqual(2);
    expect(frames[0]!.split("\n").length).toBeLessThanOrEqual(24);
    expect(frames[0]).toMatch(/and \d+ more lines/);
  });

  test("waits for a daemon that goes away, and says so", async () => {
    const { socket, stop } = await running(counting());
    let stopping: Promise<void> | undefined;
    const { code, out } = await podway(["status", "--watch", "0.1", "--api", socket], {
      seen: (text) => {
        if (text.includes("up 1m")) stopping ??= stop();
        return text.includes("no podwayd listens") ? "SIGTERM" : undefined;
      },
    });
    await stopping;
    expect(code).toBe(0);
    expect(out).toMatch(/up 1m[^]*no podwayd listens/);
  });
});

describe("apply on a terminal", () => {
  const file = async (): Promise<string> => {
    const path = join(await directory(), "q.yaml");
    await writeFile(path, "podway: 1\n");
    return path;
  };
  const counted = (changes = plan.changes): { readonly control: ReturnType<typeof fixedControl>; readonly applied: () => number } => {
    let applied = 0;
    const control = fixedControl({ plan: async () => ok({ changes }), apply: async () => (applied++, ok({ changes, revision: "18" })) });
    return { control, applied: () => applied };
  };

  test.each([
    ["n\n", 1, 0, /nothing is applied/],
    ["\n", 1, 0, /nothing is applied/],
    ["y\n", 0, 1, /applied as revision 18/],
  ])("asks, and takes %j for an answer", async (stdin, code, times, says) => {
    const { control, applied } = counted();
    const { socket } = await running(control);
    const ran = await podwayOnTerminal(["apply", await file(), "--api", socket], { stdin });
    expect(ran.out).toMatch(/session reset[^]*Apply this\? \[y\/N\]/);
    expect([ran.code, applied()]).toEqual([code, times]);
    expect(ran.out).toMatch(says);
  });

  test("does not ask with --yes, nor when there is nothing to do or something is refused", async () => {
    const yes = counted();
    expect((await podwayOnTerminal(["apply", await file(), "--yes", "--api", (await running(yes.control)).socket])).out).not.toContain("Apply this?");
    expect(yes.applied()).toBe(1);
    const none = counted([]);
    expect((await podwayOnTerminal(["apply", await file(), "--api", (await running(none.control)).socket])).out).toContain("nothing would change");
    expect(none.applied()).toBe(0);
    const refused = counted([{ path: "pools.routed", before: "10.42.0.0/16", after: null, effect: "refused", text: "3 nodes hold leases of it." }]);
    const ran = await podwayOnTerminal(["apply", await file(), "--api", (await running(refused.control)).socket]);
    expect([ran.code, refused.applied()]).toEqual([1, 0]);
    expect(ran.out).toContain("changes that are refused");
  });
});

test("a reader that has seen enough is no failure", async () => {
  const routes = Array.from({ length: 5000 }, (_, i) => ({ prefix: `10.${i >> 8}.${i & 255}.0/24` }));
  const base = await fixedControl().routes({});
  const full = base.ok ? base.value.routes[0]! : undefined;
  const { socket } = await running(fixedControl({ routes: async () => ok({ total: 5000, routes: routes.map((route) => ({ ...full!, ...route })) }) }));
  const ran = await podway([], { under: ["bash", "-c", '"$@" routes --api "$0" | head -1; echo "${PIPESTATUS[0]}"', socket] });
  expect(ran.out.split("\n").at(-2)).toBe("0");
  expect(ran.err).toBe("");
});
