/** Who is connected now, to whichever gateway. */
import { useQuery } from "@tanstack/react-query";
import type { Schemas } from "../api/client";
import { connections } from "../api/operating";
import { plural } from "../lib/format";
import { Found } from "../ui/found";
import { Panel } from "../ui/panel";
import { When } from "../ui/when";
import { AppIcon } from "./app-icon";

type Connection = Schemas["Connection"];
const KINDS: Record<Connection["kind"], string> = {
  calls: "MCP over HTTP",
  sse: "MCP over SSE",
  events: "live event stream",
};

export function Connections() {
  const found = useQuery(connections());
  const here = found.data;
  return (
    <Panel className="mb-4">
      <div className="flex flex-wrap items-baseline justify-between gap-x-3 border-b px-4 py-3">
        <h2 className="text-base font-semibold">Connected now</h2>
        {here && (
          <p className="text-sm text-soft">
            {plural(here.connections.length, "connection")}
            {here.gateways > 1 && ` at ${plural(here.gateways, "gateway")}`}
          </p>
        )}
      </div>
      <Found query={found} rows={2}>
        {({ connections: all }) =>
          all.length === 0 ? (
            <p className="px-4 py-3 text-sm text-soft">No clients yet. Connect one from the Dashboard page.</p>
          ) : (
            // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached by keyboard
            <ul aria-label="Connections" tabIndex={0} className="max-h-64 divide-y overflow-y-auto">
              {numbered(all).map(([key, each]) => (
                <li key={key} className="flex flex-wrap items-center gap-x-3 gap-y-1 px-4 py-2.5 text-sm">
                  <AppIcon name={each.app} />
                  <span className="max-w-full min-w-0 truncate font-medium">{each.app}</span>
                  <span className="text-soft">{KINDS[each.kind]}</span>
                  <span className="ml-auto text-soft max-sm:ml-0 max-sm:w-full">
                    {each.kind === "calls" ? "first call" : "connected"} <When time={each.since} />
                    {each.last_call !== null && (
                      <>
                        , last call <When time={each.last_call} />
                      </>
                    )}
                  </span>
                </li>
              ))}
            </ul>
          )
        }
      </Found>
    </Panel>
  );
}

/** With keys: two of one app that came at once are told apart by nothing else. */
function numbered(all: Connection[]): [string, Connection][] {
  const seen = new Map<string, number>();
  return all.map((each) => {
    const name = `${each.kind} ${each.since} ${each.app}`;
    seen.set(name, (seen.get(name) ?? 0) + 1);
    return [`${name} ${seen.get(name)}`, each];
  });
}
