/** What an event may have changed is asked for again: once, and so that the answer shows the event. */
import { mustShow, onBehind } from "./client";
import type { LogEvent, Opening } from "./live";
import { client } from "./query-client";

const TOUCHED: Record<string, string[]> = {
  memory: ["memories", "memory", "stats", "categories", "apps", "app", "timeline"],
  app: ["apps", "app", "stats", "memories"],
  category: ["categories"],
  access: ["access"],
  settings: ["configuration"],
  policy: ["archive-policies"],
  token: ["tokens"],
};
const TOGETHER_MS = 30;
/** Between two answers while events keep coming. */
const PAUSE_MS = 300;
/** Keys that are being asked for, and those of them about which more was heard since. */
const asking = new Set<string>();
const again = new Set<string>();
const touched = new Set<string>();

/** An event of the stream: queries that nobody looks at are asked again when somebody does. */
export function refresh(event: LogEvent): void {
  mustShow(event.position);
  for (const key of TOUCHED[event.aggregate.kind] ?? []) ask(key, TOGETHER_MS);
}

/** Events are heard of from this position on: what was asked for before may lack one, so it is asked for again. What
 * came from another log is not even shown until then. */
export function refreshAll(position: string, opening: Opening): void {
  mustShow(position);
  void (opening === "other log" ? client.resetQueries() : client.invalidateQueries());
}

function ask(key: string, pause: number): void {
  touched.add(key);
  if (asking.has(key)) {
    again.add(key);
    return;
  }
  asking.add(key);
  setTimeout(async () => {
    again.delete(key);
    await client.invalidateQueries({ queryKey: [key] });
    asking.delete(key);
    if (again.has(key)) ask(key, PAUSE_MS);
  }, pause);
}

onBehind(() => {
  for (const key of touched) ask(key, PAUSE_MS);
});
