import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { ArrowDown, ArrowUp } from "lucide-react";
import type { Schemas } from "../api/client";
import { apps } from "../api/queries";
import { count, plural } from "../lib/format";
import { AppIcon } from "../parts/app-icon";
import { AppState } from "../parts/app-state";
import { Connections } from "../parts/connections";
import { SearchBox } from "../parts/search-box";
import { type AppsSearch, drop } from "../router";
import { IconButton } from "../ui/button";
import { Select } from "../ui/field";
import { Found } from "../ui/found";
import { Pagination } from "../ui/pagination";
import { PageHead, Panel } from "../ui/panel";
import { Empty } from "../ui/states";

const SIZE = 24;

export function AppsPage() {
  const search = useSearch({ from: "/apps" });
  const navigate = useNavigate({ from: "/apps" });
  const { page = 1, sort = "name", direction = "asc" } = search;
  const active = search.show === undefined ? undefined : search.show === "active";
  const found = useQuery(apps({ name: search.name, active, sort, direction, page, size: SIZE }));
  const change = (to: Partial<Record<keyof AppsSearch, unknown>>) =>
    void navigate({ search: (now) => drop<AppsSearch>({ ...now, page: undefined, ...to }), replace: "name" in to });
  return (
    <>
      <PageHead title="Apps" hint={found.data && plural(found.data.total, "app")}>
        <SearchBox
          label="Search apps"
          value={search.name ?? ""}
          onChange={(name) => change({ name: name || undefined })}
        />
        <span className="w-32">
          <Select
            aria-label="Which apps"
            value={search.show ?? "all"}
            onChange={(event) => change({ show: event.target.value === "all" ? undefined : event.target.value })}
          >
            <option value="all">All</option>
            <option value="active">Active</option>
            <option value="inactive">Inactive</option>
          </Select>
        </span>
        <span className="w-44 max-sm:grow">
          <Select aria-label="Sort by" value={sort} onChange={(event) => change({ sort: event.target.value })}>
            <option value="name">Name</option>
            <option value="memories">Memories created</option>
            <option value="memories_accessed">Memories accessed</option>
          </Select>
        </span>
        <IconButton
          label={direction === "asc" ? "Ascending" : "Descending"}
          onClick={() => change({ direction: direction === "asc" ? "desc" : "asc" })}
        >
          {direction === "asc" ? <ArrowUp size={16} /> : <ArrowDown size={16} />}
        </IconButton>
      </PageHead>
      <Connections />
      <Found query={found} panel>
        {({ apps: known, total }) =>
          known.length === 0 ? (
            <Panel>
              <Empty title={search.name || search.show ? "Nothing matches" : "No apps yet"}>
                An app appears here once it first reads or writes.
              </Empty>
            </Panel>
          ) : (
            <>
              <ul className="grid grid-cols-1 gap-4 sm:grid-cols-2 lg:grid-cols-3">
                {known.map((app) => (
                  <li key={app.id}>
                    <AppCard app={app} />
                  </li>
                ))}
              </ul>
              {total > SIZE && (
                <Panel className="mt-4">
                  <Pagination page={page} size={SIZE} total={total} onPage={(to) => change({ page: to })} />
                </Panel>
              )}
            </>
          )
        }
      </Found>
    </>
  );
}

function AppCard({ app }: { app: Schemas["App"] }) {
  return (
    <Link
      to="/apps/$id"
      params={{ id: app.id }}
      className="block rounded-xl border bg-panel p-4 transition hover:border-accent"
    >
      <div className="flex items-center gap-3">
        <AppIcon name={app.name} size={36} />
        <h2 className="min-w-0 grow truncate font-semibold">{app.name}</h2>
        <AppState active={app.is_active} />
      </div>
      <dl className="mt-4 grid grid-cols-2 gap-2 text-sm">
        <div>
          <dt className="text-soft">Created</dt>
          <dd className="text-lg font-semibold tabular-nums">{count(app.total_memories_created)}</dd>
        </div>
        <div>
          <dt className="text-soft">Accessed</dt>
          <dd className="text-lg font-semibold tabular-nums">{count(app.total_memories_accessed)}</dd>
        </div>
      </dl>
    </Link>
  );
}
