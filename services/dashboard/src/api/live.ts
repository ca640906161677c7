/** The event stream of the log, as it grows. It comes by fetch, since an EventSource sends no Authorization header. */
import { problem, type Schemas } from "./client";
import { authorization } from "./session";

export type LogEvent = Schemas["LogEvent"];
export type LiveState = "connecting" | "live" | "lost";

/** Which log a stream is of: that of before, or one that ends before its last position, as after a restore. */
export type Opening = "same log" | "other log";

/** `onOpen`: with the position behind which the events begin. */
type Listener = {
  onEvent: (event: LogEvent) => void;
  onState: (state: LiveState) => void;
  onOpen?: (position: string, opening: Opening) => void;
};

const PAUSES_MS = [500, 1000, 2000, 5000, 10_000];

/** Follow the log until `signal` aborts; comes back by itself from where it was when the connection is lost. */
export async function follow(
  listener: Listener,
  signal: AbortSignal,
  query: Record<string, string> = {},
): Promise<void> {
  let last: string | null = null;
  let opening: Opening = "same log";
  let failures = 0;
  while (!signal.aborted) {
    listener.onState("connecting");
    try {
      const answer: Response = await fetch(`/api/v1/events/stream?${new URLSearchParams(query)}`, {
        headers: { ...authorization(), ...(last ? { "Last-Event-ID": last } : {}) },
        signal,
      });
      if (answer.status === 422 && last) {
        // Not a position in the log that answers now.
        last = null;
        opening = "other log";
        continue;
      }
      if (!answer.ok || !answer.body) throw problem(answer, await answer.json().catch(() => null));
      listener.onState("live");
      failures = 0;
      for await (const frame of frames(answer.body)) {
        if (frame.event === "position") {
          listener.onOpen?.(frame.data, last && sequence(frame.data) < sequence(last) ? "other log" : opening);
          opening = "same log";
        }
        if (frame.id) last = frame.id;
        if (frame.data && frame.event === "message") listener.onEvent(JSON.parse(frame.data) as LogEvent);
      }
    } catch {
      if (signal.aborted) return;
    }
    listener.onState("lost");
    const pause = PAUSES_MS[Math.min(failures++, PAUSES_MS.length - 1)];
    await new Promise((done) => setTimeout(done, pause));
  }
}

/** Of a position, `<shard>-<sequence>`. */
const sequence = (position: string): number => Number(position.split("-")[1]);

type Frame = { id: string | null; event: string; data: string };

/** The frames of a stream of server-sent events (WHATWG HTML §9.2). */
async function* frames(stream: ReadableStream<Uint8Array>): AsyncGenerator<Frame> {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  let held = "";
  let frame: Frame = { id: null, event: "message", data: "" };
  while (true) {
    const { done, value } = await reader.read();
    if (done) return;
    held += decoder.decode(value, { stream: true });
    const lines = held.split("\n");
    held = lines.pop() ?? "";
    for (const line of lines.map((each) => each.replace(/\r$/, ""))) {
      if (line === "") {
        if (frame.data || frame.id) yield frame;
        frame = { id: null, event: "message", data: "" };
        continue;
      }
      const [field, ...rest] = line.split(":");
      const text = rest.join(":").replace(/^ /, "");
      if (field === "id") frame.id = text;
      else if (field === "event") frame.event = text;
      else if (field === "data") frame.data += (frame.data ? "\n" : "") + text;
    }
  }
}
