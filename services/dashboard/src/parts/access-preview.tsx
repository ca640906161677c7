import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { readable } from "../api/operating";
import { plural } from "../lib/format";
import { Select } from "../ui/field";
import { Found } from "../ui/found";
import { Pagination } from "../ui/pagination";
import { Panel, PanelHead } from "../ui/panel";
import { Empty } from "../ui/states";

type Props = { app: string; apps: readonly { id: string; name: string }[] };

/** What this app can see; without one, one can be picked here. */
export function AccessPreview({ app, apps }: Props) {
  const others = apps.filter((each) => each.name !== "dashboard");
  const [picked, setPicked] = useState("");
  const shown = app || picked || (others[0]?.id ?? "");
  const [page, setPage] = useState(1);
  const found = useQuery({ ...readable(shown, page, 10), enabled: shown !== "" });
  const name = apps.find((each) => each.id === shown)?.name;
  const total = found.data && (
    <span className="text-sm whitespace-nowrap text-soft">{plural(found.data.total, "memory", "memories")}</span>
  );
  return (
    <Panel>
      <PanelHead title={name ? `What ${name} can see` : "What an app can see"}>
        {app || !name ? (
          total
        ) : (
          <span className="flex items-center gap-3">
            {total}
            <span className="w-40">
              <Select
                aria-label="App to preview"
                value={shown}
                onChange={(event) => {
                  setPicked(event.target.value);
                  setPage(1);
                }}
              >
                {others.map((each) => (
                  <option key={each.id} value={each.id}>
                    {each.name}
                  </option>
                ))}
              </Select>
            </span>
          </span>
        )}
      </PanelHead>
      {shown === "" ? (
        <Empty title="No apps yet">An app appears here once it first reads or writes.</Empty>
      ) : (
        <Found query={found}>
          {({ items, total }) =>
            total === 0 ? (
              <Empty title="Nothing">This app cannot see any memory.</Empty>
            ) : (
              <>
                <ul className="divide-y">
                  {items.map((memory) => (
                    <li key={memory.id} className="px-4 py-2.5 text-sm break-words">
                      <Link to="/memory/$id" params={{ id: memory.id }} className="hover:underline">
                        {memory.content}
                      </Link>
                    </li>
                  ))}
                </ul>
                <Pagination page={page} size={10} total={total} onPage={setPage} />
              </>
            )
          }
        </Found>
      )}
    </Panel>
  );
}
