import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { accessLog } from "../api/queries";
import { Found } from "../ui/found";
import { Pagination } from "../ui/pagination";
import { Badge, Panel, PanelHead } from "../ui/panel";
import { Empty } from "../ui/states";
import { When } from "../ui/when";
import { AppIcon } from "./app-icon";

const KINDS: Record<string, string> = {
  search: "found in a search",
  list: "listed",
  get: "opened",
  history: "history viewed",
  export: "exported",
};

/** Who read a memory, newest first. */
export function AccessTimeline({ id }: { id: string }) {
  const [page, setPage] = useState(1);
  const found = useQuery(accessLog(id, page));
  return (
    <Panel>
      <PanelHead title="Access log" />
      <Found query={found} rows={3}>
        {({ logs, total }) =>
          total === 0 ? (
            <Empty title="Not read by any app yet" />
          ) : (
            <>
              <ol className="divide-y">
                {logs.map((read) => (
                  <li key={read.id} className="flex items-center gap-3 px-4 py-2.5 text-sm">
                    <AppIcon name={read.app_name ?? "?"} size={22} />
                    <span className="min-w-0 grow truncate">{read.app_name ?? "Unknown app"}</span>
                    <Badge>{KINDS[read.access_type] ?? read.access_type}</Badge>
                    <span className="text-soft">
                      <When time={read.accessed_at} />
                    </span>
                  </li>
                ))}
              </ol>
              <Pagination page={page} size={10} total={total} onPage={setPage} />
            </>
          )
        }
      </Found>
    </Panel>
  );
}
