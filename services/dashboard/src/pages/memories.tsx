import { useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { Archive, Pause, Play, Trash2 } from "lucide-react";
import { useState } from "react";
import type { Schemas } from "../api/client";
import { memories } from "../api/queries";
import { plural } from "../lib/format";
import { untilThen } from "../lib/moments";
import { useChanging } from "../parts/changing";
import { Differences } from "../parts/differences";
import { FilterButton } from "../parts/filter-dialog";
import { MemoryTable } from "../parts/memory-table";
import { SearchBox } from "../parts/search-box";
import { TimeTravel } from "../parts/time-travel";
import { drop, type MemoriesSearch } from "../router";
import { Button } from "../ui/button";
import { Found } from "../ui/found";
import { Pagination } from "../ui/pagination";
import { PageHead, Panel } from "../ui/panel";
import { Empty } from "../ui/states";

export function MemoriesPage() {
  const search = useSearch({ from: "/memories" });
  const navigate = useNavigate({ from: "/memories" });
  const { page = 1, size = 10, sort = "created_at", direction = "desc" } = search;
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set());
  const { as_of, until, kind } = search;
  const comparing = as_of !== undefined && until !== undefined;
  const asked = { search: search.search, apps: search.apps, categories: search.categories, archived: search.archived };
  const found = useQuery({ ...memories({ ...asked, page, size, sort, direction, as_of }), enabled: !comparing });
  const change = (to: Partial<Record<keyof MemoriesSearch, unknown>>) => {
    setSelected(new Set());
    void navigate({
      search: (now) => drop<MemoriesSearch>({ ...now, page: undefined, ...to }),
      // Typing, and moving about in the past, is one step of going back.
      replace: "search" in to || ("as_of" in to && Boolean(to.as_of) && as_of !== undefined),
    });
  };
  const narrowed = Boolean(search.search || search.apps || search.categories);
  const hint = comparing
    ? "Comparing memories of all apps and categories, including archived ones."
    : found.data && plural(found.data.total, "memory", "memories");
  const onPage = (to: number) => change({ page: to > 1 ? to : undefined });
  const onSize = (to: number) => change({ size: to === 10 ? undefined : to });
  return (
    <>
      <PageHead title="Memories" hint={hint}>
        <SearchBox
          label="Search memories"
          value={search.search ?? ""}
          onChange={(text) => change({ search: text || undefined })}
        />
        {!comparing && (
          <FilterButton
            chosen={{
              apps: search.apps ?? [],
              categories: search.categories ?? [],
              archived: search.archived ?? false,
            }}
            onChange={(chosen) =>
              change({
                apps: chosen.apps.length ? chosen.apps : undefined,
                categories: chosen.categories.length ? chosen.categories : undefined,
                archived: chosen.archived || undefined,
              })
            }
          />
        )}
      </PageHead>
      <TimeTravel
        what="your memories"
        moments={{ as_of, until }}
        onChange={(to) =>
          change({
            as_of: to.as_of,
            until: to.until,
            kind: to.until && kind,
            // These filters do not count in a comparison.
            ...(to.until && { apps: undefined, categories: undefined, archived: undefined }),
          })
        }
      />
      <Panel className="relative">
        {selected.size > 0 && (
          <Bulk
            memories={found.data?.items.filter((row) => selected.has(row.id)) ?? []}
            // What was ticked while it was being done stays so.
            onDone={() => setSelected((now) => (now === selected ? new Set() : now))}
          />
        )}
        {comparing ? (
          <Differences
            filter={{ since: as_of, until: untilThen(until), kind, search: search.search, page, size }}
            onKind={(to) => change({ kind: to })}
            onPage={onPage}
            onSize={onSize}
          />
        ) : (
          <Found query={found} rows={8}>
            {({ items, total }) => (
              <>
                {items.length === 0 ? (
                  <Empty title={narrowed ? "Nothing matches" : as_of ? "No memories at that time" : "No memories yet"}>
                    {narrowed ? (
                      <Button
                        small
                        onClick={() => change({ search: undefined, apps: undefined, categories: undefined })}
                      >
                        Clear search and filters
                      </Button>
                    ) : (
                      !as_of && "Connect a client and ask it to remember something, or create a memory yourself."
                    )}
                  </Empty>
                ) : (
                  <MemoryTable
                    rows={items}
                    asOf={as_of}
                    {...(as_of ? {} : { selected, onSelect: setSelected })}
                    sorting={{ column: sort, direction }}
                    onSort={(sorting) => change({ sort: sorting.column, direction: sorting.direction })}
                  />
                )}
                {total > 0 && <Pagination page={page} size={size} total={total} onPage={onPage} onSize={onSize} />}
              </>
            )}
          </Found>
        )}
      </Panel>
    </>
  );
}

/** Over the head of the table, beside its checkbox: rows do not move away from under the pointer. */
function Bulk({ memories, onDone }: { memories: Schemas["Memory"][]; onDone: () => void }) {
  const { state, remove } = useChanging();
  const done = { onSuccess: onDone };
  return (
    <div
      role="toolbar"
      aria-label="Selected memories"
      className="absolute top-px right-4 left-11 flex h-9 items-center gap-2 bg-panel"
    >
      <span className="mr-2 text-sm font-medium whitespace-nowrap max-sm:grow">{memories.length} selected</span>
      <Button
        small
        needs="write"
        busy={state.isPending}
        onClick={() => state.mutate({ memories, to: "archived" }, done)}
      >
        <Archive aria-hidden size={14} /> <span className="max-sm:sr-only">Archive</span>
      </Button>
      <Button small needs="write" busy={state.isPending} onClick={() => state.mutate({ memories, to: "paused" }, done)}>
        <Pause aria-hidden size={14} /> <span className="max-sm:sr-only">Pause</span>
      </Button>
      <Button small needs="write" busy={state.isPending} onClick={() => state.mutate({ memories, to: "active" }, done)}>
        <Play aria-hidden size={14} /> <span className="max-sm:sr-only">Resume</span>
      </Button>
      <Button
        small
        needs="delete"
        kind="danger"
        busy={remove.isPending}
        onClick={() => remove.mutate({ memories }, done)}
      >
        <Trash2 aria-hidden size={14} /> <span className="max-sm:sr-only">Delete</span>
      </Button>
    </div>
  );
}
