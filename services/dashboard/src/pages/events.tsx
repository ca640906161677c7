import { useInfiniteQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { Pause, Play } from "lucide-react";
import { useEffect, useState } from "react";
import { follow, type LiveState, type LogEvent, type Opening } from "../api/live";
import { events } from "../api/operating";
import { cx } from "../lib/cx";
import { EVENT_TYPES } from "../lib/event-types";
import { Button } from "../ui/button";
import { Select } from "../ui/field";
import { Found } from "../ui/found";
import { Json } from "../ui/json";
import { Badge, PageHead, Panel } from "../ui/panel";
import { Empty } from "../ui/states";
import { When } from "../ui/when";

const KEPT = 500;

export function EventsPage() {
  const { type = "" } = useSearch({ from: "/events" });
  const navigate = useNavigate({ from: "/events" });
  const [running, setRunning] = useState(true);
  const { seen, state } = useStream(type, running);
  const past = useInfiniteQuery(events(type));
  const known = new Set(seen.map((event) => event.event_id));
  const pages = past.data?.pages ?? [];
  const older = pages.flatMap((page) => [...page.events].reverse());
  const all = [...seen, ...older.filter((event) => !known.has(event.event_id))];
  return (
    <>
      <PageHead title="Events" hint="The log itself, live. Everything else is derived from it.">
        <Badge tone={!running ? "plain" : state === "live" ? "good" : "warn"}>
          {!running ? "paused" : state === "live" ? "live" : "connecting…"}
        </Badge>
        <span className="w-56 max-sm:grow">
          <Select
            aria-label="Type of event"
            value={type}
            onChange={(event) => void navigate({ search: event.target.value ? { type: event.target.value } : {} })}
          >
            <option value="">All types</option>
            {EVENT_TYPES.map((each) => (
              <option key={each}>{each}</option>
            ))}
          </Select>
        </span>
        <Button onClick={() => setRunning(!running)}>
          {running ? <Pause aria-hidden size={14} /> : <Play aria-hidden size={14} />}
          {running ? "Pause" : "Resume"}
        </Button>
      </PageHead>
      <Panel>
        <Found query={past} rows={8}>
          {() =>
            all.length === 0 && !past.hasNextPage ? (
              <Empty title={type ? `No ${type} events yet` : "No events yet"} />
            ) : (
              <>
                <ol className="divide-y" aria-label="Events, newest first">
                  {all.map((event) => (
                    <Row key={event.event_id} event={event} fresh={known.has(event.event_id)} />
                  ))}
                </ol>
                <div className="border-t p-3 text-center">
                  {past.hasNextPage ? (
                    // Not disabled meanwhile: it would lose the focus of who goes on by keyboard.
                    <Button
                      aria-busy={past.isFetchingNextPage}
                      onClick={() => void past.fetchNextPage({ cancelRefetch: false })}
                    >
                      Show older
                    </Button>
                  ) : (
                    <p className="text-sm text-soft">These are all.</p>
                  )}
                </div>
              </>
            )
          }
        </Found>
      </Panel>
    </>
  );
}

function Row({ event, fresh }: { event: LogEvent; fresh: boolean }) {
  return (
    <li className={cx(fresh && "bg-accent-soft/40")}>
      <details className="group px-4 py-2.5">
        <summary className="flex flex-wrap items-center gap-x-3 gap-y-1 text-sm">
          <span className="font-medium">{event.type}</span>
          <span className="min-w-0 grow truncate text-soft">{gist(event)}</span>
          <span className="max-w-full truncate text-soft">{event.app_name ?? event.actor}</span>
          <code className="font-mono text-xs text-faint">{event.position}</code>
          <span className="text-soft">
            <When time={event.recorded_at} />
          </span>
        </summary>
        <div className="mt-2">
          <Json value={event} />
        </div>
      </details>
    </li>
  );
}

/** What an event says, in a few words. */
function gist(event: LogEvent): string {
  const data = event.data ?? {};
  const said = [data.text, data.name, data.label, data.outcome, data.effect].find((each) => typeof each === "string");
  return typeof said === "string" ? said : (event.unreadable ?? "");
}

/** The newest events since the page was opened, newest first. */
function useStream(type: string, running: boolean): { seen: LogEvent[]; state: LiveState } {
  const [seen, setSeen] = useState<LogEvent[]>([]);
  const [state, setState] = useState<LiveState>("connecting");
  useEffect(() => {
    setSeen([]);
    if (!running) return;
    const ending = new AbortController();
    const onEvent = (event: LogEvent) => setSeen((held) => [event, ...held].slice(0, KEPT));
    const onOpen = (_: string, opening: Opening) => opening === "other log" && setSeen([]);
    void follow({ onEvent, onState: setState, onOpen }, ending.signal, type ? { type } : {});
    return () => ending.abort();
  }, [type, running]);
  return { seen, state };
}
