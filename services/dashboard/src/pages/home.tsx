import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { Search } from "lucide-react";
import { useState } from "react";
import { health, me } from "../api/operating";
import { memories, stats } from "../api/queries";
import { count } from "../lib/format";
import { useDebounced } from "../lib/use-debounced";
import { Activity } from "../parts/activity";
import { AppIcon } from "../parts/app-icon";
import { InstallPanel } from "../parts/install-panel";
import { MemoryTable } from "../parts/memory-table";
import { Input } from "../ui/field";
import { Found, failure } from "../ui/found";
import { PageHead, Panel } from "../ui/panel";
import { Empty, Failure, Skeleton } from "../ui/states";

const SHOWN = 10;
const ICONS = 4;
/** Tells versions of a model apart; the page Health has it. */
const FINGERPRINT = /\/[0-9a-f]{12}$/;

export function HomePage() {
  const [draft, setDraft] = useState("");
  const search = useDebounced(draft);
  const found = useQuery(memories({ search, size: SHOWN }));
  const who = useQuery(me());
  const { range = "30d" } = useSearch({ from: "/" });
  const navigate = useNavigate({ from: "/" });
  return (
    <>
      <PageHead title="Dashboard" hint="What your agents remember, and which apps read it." />
      <div className="grid grid-cols-1 gap-4 lg:grid-cols-3">
        <div className="min-w-0 lg:col-span-2">
          <Found query={who} panel>
            {(known) => <InstallPanel who={known} />}
          </Found>
        </div>
        <Numbers />
      </div>
      <Activity
        range={range}
        onRange={(chosen) => void navigate({ search: { range: chosen }, replace: true })}
        waits={found.isPending}
      />
      <Panel className="mt-4">
        <div className="flex flex-wrap items-center justify-between gap-3 border-b py-3 pr-3 pl-4">
          <h2 className="text-base font-semibold">Memories</h2>
          <div className="relative w-72 max-sm:w-full">
            <Search aria-hidden size={15} className="absolute top-2.5 left-3 text-faint" />
            <Input
              type="search"
              aria-label="Search memories"
              placeholder="Search memories"
              className="pl-9"
              value={draft}
              onChange={(event) => setDraft(event.target.value)}
            />
          </div>
        </div>
        <Found query={found}>
          {({ items, total }) => (
            <>
              {items.length === 0 ? (
                <Empty title={search ? "Nothing matches" : "No memories yet"}>
                  {!search && "Connect a client above and ask it to remember something."}
                </Empty>
              ) : (
                <MemoryTable rows={items} />
              )}
              {total > SHOWN && (
                <p className="border-t px-4 py-2.5 text-sm text-soft">
                  <Link
                    to="/memories"
                    search={search ? { search } : {}}
                    className="font-medium text-accent hover:underline"
                  >
                    View all {count(total)} {search ? "matches" : "memories"}
                  </Link>{" "}
                  · without archived
                </p>
              )}
            </>
          )}
        </Found>
      </Panel>
    </>
  );
}

function Numbers() {
  const found = useQuery(stats());
  const parts = useQuery(health());
  const [failed, unknown] = [failure(found), failure(parts)];
  if (failed) {
    return (
      <Panel>
        <Failure error={failed} retry={() => void found.refetch()} />
      </Panel>
    );
  }
  return (
    <Panel className="flex flex-col gap-5 p-5">
      <Figure name="Total memories" note="including archived" value={found.data?.total_memories} />
      <div className="flex items-end justify-between gap-3">
        <Figure name="Total apps" value={found.data?.total_apps} />
        <span className="flex gap-1">
          {found.data?.apps.slice(0, ICONS).map((app) => (
            <Link key={app.id} to="/apps/$id" params={{ id: app.id }} aria-label={app.name} title={app.name}>
              <AppIcon name={app.name} size={30} />
            </Link>
          ))}
        </span>
      </div>
      {unknown ? (
        <p className="mt-auto border-t pt-4 text-sm break-words text-soft">{unknown.message}</p>
      ) : (
        <dl className="mt-auto space-y-1 border-t pt-4 text-sm">
          <Part
            name="Embedder"
            value={parts.data?.embedder?.replace(FINGERPRINT, "") ?? (parts.data ? "no answer" : undefined)}
          />
          <Part name="Language model" value={parts.data ? (parts.data.llm ?? "none") : undefined} />
          <Part name="Index" value={parts.data?.index ?? (parts.data ? "no answer" : undefined)} />
        </dl>
      )}
    </Panel>
  );
}

function Figure({ name, note, value }: { name: string; note?: string; value: number | undefined }) {
  return (
    <div>
      <p className="text-sm text-soft">
        {name}
        {note && <span className="text-faint"> · {note}</span>}
      </p>
      {value === undefined ? (
        <Skeleton className="mt-1 h-9 w-20" />
      ) : (
        <p className="text-3xl font-semibold tracking-tight tabular-nums">{count(value)}</p>
      )}
    </div>
  );
}

function Part({ name, value }: { name: string; value: string | undefined }) {
  return (
    <div className="flex justify-between gap-3">
      <dt className="shrink-0 text-soft">{name}</dt>
      <dd className="min-w-0 truncate text-right" title={value}>
        {value ?? <Skeleton className="inline-block h-4 w-24" />}
      </dd>
    </div>
  );
}
