/**
 * Server-sent events: the state first, then the state again after changes, a few times a second at most.
 *
 * Nothing that was missed is replayed. A reader that does not keep up is skipped while its backlog is full, and then told
 * `lagged` and the state of that moment: one event and the backlog are all it can cost (limits.ts).
 */
import { type CallerFault, callerFault, failed, ok, type Outcome } from "#base/fault.ts";
import { type Control, controlPaths } from "#daemon/control.ts";
import { limits } from "./limits.ts";
import { toJson } from "./reply.ts";

interface Reader {
  readonly controller: ReadableStreamDefaultController<Uint8Array>;
  lagging: boolean;
}

export class EventStreams {
  readonly #control: Control;
  readonly #broken: (error: unknown) => void;
  readonly #readers = new Set<Reader>();
  #lagged = 0;
  #forget: (() => void) | undefined;
  #gap: NodeJS.Timeout | undefined;
  #heartbeat: NodeJS.Timeout | undefined;

  /** `broken` is told of exceptions out of `control`; they end no stream. */
  constructor(control: Control, broken: (error: unknown) => void) {
    this.#control = control;
    this.#broken = broken;
  }

  get open(): number {
    return this.#readers.size;
  }
  /** How often a reader had to be told `lagged`. */
  get lagged(): number {
    return this.#lagged;
  }

  /** A new stream that starts with the state; refused at the limit. */
  stream(): Outcome<ReadableStream<Uint8Array>, CallerFault> {
    if (this.#readers.size >= limits.eventStreams) {
      return failed(
        callerFault(
          "api.too-many-streams",
          `${limits.eventStreams} event streams are open, which is the limit: close one, or ask ${controlPaths.status} instead.`,
        ),
      );
    }
    const first = this.#state();
    let reader: Reader;
    return ok(
      new ReadableStream<Uint8Array>(
        {
          start: (controller) => {
            reader = { controller, lagging: false };
            controller.enqueue(first);
            this.#join(reader);
          },
          pull: () => this.#catchUp(reader),
          cancel: () => this.#leave(reader),
        },
        new ByteLengthQueuingStrategy({ highWaterMark: limits.eventBacklogOctets }),
      ),
    );
  }

  /** Ends every stream: the daemon stops. */
  close(): void {
    for (const { controller } of this.#readers) controller.close();
    this.#readers.clear();
    this.#rest();
  }

  #join(reader: Reader): void {
    this.#readers.add(reader);
    if (this.#readers.size > 1) return;
    this.#forget = this.#control.onChange?.(() => this.#changed());
    this.#heartbeat = setInterval(() => this.#tell(encoder.encode(": alive\n\n")), limits.eventHeartbeatMillis);
  }

  #leave(reader: Reader): void {
    this.#readers.delete(reader);
    if (this.#readers.size === 0) this.#rest();
  }

  /** Nobody reads: nothing is asked of the daemon. */
  #rest(): void {
    this.#forget?.();
    this.#forget = undefined;
    clearTimeout(this.#gap);
    this.#gap = undefined;
    clearInterval(this.#heartbeat);
  }

  /** Gathers what changes within one gap into one event. */
  #changed(): void {
    this.#gap ??= setTimeout(() => {
      this.#gap = undefined;
      try {
        this.#tell(this.#state());
      } catch (error) {
        this.#broken(error);
      }
    }, limits.eventGapMillis);
  }

  #tell(event: Uint8Array): void {
    for (const reader of this.#readers) {
      if (reader.controller.desiredSize! > 0 && !reader.lagging) reader.controller.enqueue(event);
      else reader.lagging = true;
    }
  }

  /** Called when a reader has room again. */
  #catchUp(reader: Reader): void {
    if (!reader.lagging) return;
    reader.lagging = false;
    this.#lagged++;
    reader.controller.enqueue(encoder.encode("event: lagged\ndata: {}\n\n"));
    reader.controller.enqueue(this.#state());
  }

  #state(): Uint8Array {
    return encoder.encode(`event: status\ndata: ${toJson(this.#control.status())}\n\n`);
  }
}

const encoder = new TextEncoder();
