import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { Schemas } from "../api/client";
import { history } from "../api/queries";
import { exact } from "../lib/format";
import { Found } from "../ui/found";
import { Badge, Panel, PanelHead } from "../ui/panel";
import { When } from "../ui/when";
import { Difference } from "./difference";
import { MemoryState } from "./memory-state";

/** Every version and state of a memory, newest first; a new text against the one before it. */
export function History({ id }: { id: string }) {
  const found = useQuery(history(id));
  return (
    <Panel>
      <PanelHead title="History" />
      <Found query={found} rows={3}>
        {({ entries }) => <Entries id={id} entries={entries} />}
      </Found>
    </Panel>
  );
}

function Entries({ id, entries }: { id: string; entries: Schemas["HistoryEntry"][] }) {
  const texts = entries.filter((entry) => typeof entry.text === "string");
  return (
    <ol className="divide-y">
      {[...entries].reverse().map((entry) => {
        const before = texts[texts.indexOf(entry) - 1]?.text;
        return (
          <li key={entry.position} className="px-4 py-3">
            <div className="mb-1.5 flex flex-wrap items-center gap-2 text-sm">
              <span className="font-medium">{words(entry.event)}</span>
              <Badge>version {entry.version}</Badge>
              <MemoryState state={entry.state} />
              <span className="ml-auto text-soft">
                {entry.app_name} · <When time={entry.at} /> ·{" "}
                <Link
                  to="/memory/$id"
                  params={{ id }}
                  search={{ as_of: entry.recorded_at }}
                  aria-label={`View as of ${exact(entry.recorded_at)}`}
                  className="text-accent underline"
                >
                  View
                </Link>
              </span>
            </div>
            {typeof entry.text === "string" &&
              (before ? (
                <Difference before={before} after={entry.text} />
              ) : (
                <p className="text-sm leading-relaxed break-words whitespace-pre-wrap">{entry.text}</p>
              ))}
            {entry.categories && entry.categories.length > 0 && (
              <p className="mt-1 text-sm break-words text-soft">Categories: {entry.categories.join(", ")}</p>
            )}
          </li>
        );
      })}
    </ol>
  );
}

/** `MemoryRevised` as "Revised". */
function words(event: string): string {
  return event.replace(/^Memory/, "");
}
