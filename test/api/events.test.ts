import { connect, type Socket } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { limits } from "#api/limits.ts";
import { fixedControl, status } from "./fixed-control.ts";
import { ask, jsonOf, running, until } from "./running.ts";

interface Listening {
  readonly socket: Socket;
  /** Names of the events seen, in order. */
  readonly names: () => string[];
  readonly text: () => string;
}

/** Opens an event stream by hand, so that a test can stop reading. */
function listenTo(path: string): Listening {
  let text = "";
  const socket = connect(path, () => socket.write("GET /v1/events HTTP/1.1\r\nHost: podwayd\r\n\r\n"));
  socket.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
  socket.on("error", () => undefined);
  onTestFinished(() => void socket.destroy());
  return { socket, text: () => text, names: () => [...text.matchAll(/^event: (\w+)$/gm)].map((match) => match[1]!) };
}

/** A control whose state can be changed, and which counts who listens. */
function changing(padding = 0): { readonly control: ReturnType<typeof fixedControl>; change(): void; readonly listeners: Set<() => void> } {
  const listeners = new Set<() => void>();
  let uptimeSeconds = 0;
  const control = fixedControl({
    status: () => ({ ...status, uptimeSeconds, warnings: ["x".repeat(padding)] }),
    onChange: (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  });
  const change = (): void => {
    uptimeSeconds++;
    for (const listener of listeners) listener();
  };
  return { control, change, listeners };
}

test("the state comes first, a burst of changes is one event with the last state, and a reader that left is forgotten", async () => {
  const { control, change, listeners } = changing();
  const { socket, gauges } = await running(control);
  const reader = listenTo(socket);
  await until(() => reader.names().length === 1, "the first state");
  expect(reader.text()).toContain("content-type: text/event-stream");
  for (let i = 0; i < 1000; i++) change();
  await until(() => reader.text().includes('"uptimeSeconds":1000'), "the last state");
  expect(reader.names()).toEqual(["status", "status"]);
  expect([listeners.size, gauges.get("podway_api_event_streams")!()]).toEqual([1, 1]);
  reader.socket.destroy();
  await until(() => listeners.size === 0, "the daemon is no longer listened to");
  expect(gauges.get("podway_api_event_streams")!()).toBe(0);
});

test("without onChange the state is told once, and the stream stays open", async () => {
  const { socket, gauges } = await running(fixedControl());
  const reader = listenTo(socket);
  await until(() => reader.names().length === 1, "the first state");
  expect(gauges.get("podway_api_event_streams")!()).toBe(1);
});

test("a reader that stops reading is told lagged and the state of then, and memory stays bounded", async () => {
  const { control, change } = changing(100_000);
  const { socket, gauges } = await running(control);
  const slow = listenTo(socket),
    quick = listenTo(socket);
  await until(() => slow.names().length === 1 && quick.names().length === 1, "both first states");
  slow.socket.pause();
  let told = 0;
  while (told < 14) {
    change();
    const before = quick.names().length;
    await until(() => quick.names().length > before, "the quick reader is told");
    told++;
  }
  expect(slow.names().length).toBeLessThan(3);
  slow.socket.resume();
  await until(() => slow.names().includes("lagged") && slow.text().includes(`"uptimeSeconds":${told}`), "lagged and the last state");
  expect(slow.names().length).toBeLessThan(quick.names().length);
  expect(quick.names()).not.toContain("lagged");
  expect(gauges.get("podway_api_event_lagged_total")!()).toBe(1);
}, 20_000);

test("the stream beyond the limit is refused, and one that closes makes room", async () => {
  const { control } = changing();
  const { socket, gauges } = await running(control);
  const readers = Array.from({ length: limits.eventStreams }, () => listenTo(socket));
  await until(() => readers.every((reader) => reader.names().length === 1), "all streams are open");
  const reply = await ask(socket, "GET", "/v1/events");
  expect([reply.status, jsonOf(reply)]).toMatchObject([503, { error: { code: "api.too-many-streams", text: expect.stringContaining("64") } }]);
  readers[0]!.socket.destroy();
  await until(() => gauges.get("podway_api_event_streams")!() === limits.eventStreams - 1, "one stream closed");
  const next = listenTo(socket);
  await until(() => next.names().length === 1, "the freed place is taken");
});

test("a state that cannot be made is a note, and the stream goes on", async () => {
  const { control, change } = changing();
  let broken = false;
  const { socket, notes } = await running({
    ...control,
    status: () => {
      if (broken) throw new Error("no state");
      return control.status();
    },
  });
  const reader = listenTo(socket);
  await until(() => reader.names().length === 1, "the first state");
  broken = true;
  change();
  await until(() => notes.some((note) => note.event === "api.broken"), "the note");
  broken = false;
  change();
  await until(() => reader.names().length === 2, "the next state");
});

test("stopping ends the streams at once", async () => {
  const { control, listeners } = changing();
  const { socket, stop } = await running(control);
  const reader = listenTo(socket);
  await until(() => reader.names().length === 1, "the first state");
  const ended = new Promise((resolve) => reader.socket.once("close", resolve));
  await stop();
  await ended;
  expect(listeners.size).toBe(0);
});
