import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { ExternalLink, Eye, PenLine, X } from "lucide-react";
import { type ReactNode, useState } from "react";
import type { Schemas } from "../api/client";
import { audit, me } from "../api/operating";
import { apps } from "../api/queries";
import { EVENT_TYPES } from "../lib/event-types";
import { plural } from "../lib/format";
import { AppIcon } from "../parts/app-icon";
import { Returned } from "../parts/returned";
import { type AuditSearch, drop } from "../router";
import { Button } from "../ui/button";
import { Choice } from "../ui/checkbox";
import { Input, Select } from "../ui/field";
import { Found } from "../ui/found";
import { Pagination } from "../ui/pagination";
import { Badge, PageHead, Panel } from "../ui/panel";
import { Empty } from "../ui/states";
import { When } from "../ui/when";

const SIZE = 20;
const READS = ["search", "list", "get", "history", "export", "stream"];

export function AuditPage() {
  const search = useSearch({ from: "/audit" });
  const navigate = useNavigate({ from: "/audit" });
  const [shown, setShown] = useState<Schemas["AuditEntry"] | null>(null);
  const { page = 1 } = search;
  const found = useQuery(audit({ ...search, page, size: SIZE }));
  const known = useQuery(apps());
  const change = (to: Partial<Record<keyof AuditSearch, unknown>>) =>
    void navigate({ search: (now) => drop<AuditSearch>({ ...now, page: undefined, ...to }) });
  const day = (value: string, end: boolean) =>
    value === "" ? undefined : Math.floor(new Date(`${value}T${end ? "23:59:59" : "00:00:00"}`).getTime() / 1000);
  const shownDay = (epoch: number | undefined) =>
    epoch === undefined ? "" : new Date(epoch * 1000).toLocaleDateString("sv-SE");
  return (
    <>
      <PageHead title="Audit" hint="Who read or wrote what, and when. No answer leaves before its read stands here." />
      <Panel>
        <div className="grid grid-cols-2 items-center gap-2 border-b p-3 sm:flex sm:flex-wrap">
          <span className="sm:w-32">
            <Select
              aria-label="Reads or writes"
              value={search.action ?? ""}
              onChange={(event) => change({ action: event.target.value || undefined, kind: undefined })}
            >
              <option value="">All</option>
              <option value="read">Reads</option>
              <option value="write">Writes</option>
            </Select>
          </span>
          <span className="sm:w-48">
            <Select
              aria-label="Kind"
              value={search.kind ?? ""}
              onChange={(event) => change({ kind: event.target.value || undefined })}
            >
              <option value="">Every kind</option>
              {[...(search.action === "write" ? [] : READS), ...(search.action === "read" ? [] : EVENT_TYPES)].map(
                (kind) => (
                  <option key={kind}>{kind}</option>
                ),
              )}
            </Select>
          </span>
          <span className="max-sm:col-span-2 sm:w-44">
            <Select
              aria-label="App"
              value={search.app ?? ""}
              onChange={(event) => change({ app: event.target.value || undefined })}
            >
              <option value="">Every app</option>
              <option value="dashboard">dashboard (you)</option>
              <option value="memlog">memlog (by itself)</option>
              {known.data?.apps.map((app) => (
                <option key={app.id} value={app.id}>
                  {app.name}
                </option>
              ))}
            </Select>
          </span>
          <Day name="From">
            <Input
              type="date"
              value={shownDay(search.from)}
              onChange={(event) => change({ from: day(event.target.value, false) })}
            />
          </Day>
          <Day name="To">
            <Input
              type="date"
              value={shownDay(search.to)}
              onChange={(event) => change({ to: day(event.target.value, true) })}
            />
          </Day>
          {search.memory && (
            <Button small onClick={() => change({ memory: undefined })}>
              Of one memory <X aria-hidden size={14} />
            </Button>
          )}
          <span className="max-sm:col-span-2 sm:basis-full">
            <Choice
              label="Leave out the dashboard's own reads"
              checked={search.without_own_reads === true}
              onChange={(without) => change({ without_own_reads: without || undefined })}
            />
          </span>
        </div>
        {search.without_own_reads && (
          <p role="note" className="border-b bg-warn-soft px-4 py-2 text-sm text-warn">
            Reads under the app “dashboard” are left out: those of these pages, and of whatever else asks as you, such
            as scripts and <code className="font-mono text-xs">memlog</code>. Writes are all here.
          </p>
        )}
        <Found query={found} rows={8}>
          {({ items, total }) =>
            total === 0 ? (
              <Empty title="Nothing of the kind">Fewer filters show more.</Empty>
            ) : (
              <>
                <ol className="divide-y" aria-label="Reads and writes, newest first">
                  {items.map((entry) => (
                    <Row key={entry.id} entry={entry} onShow={() => setShown(entry)} />
                  ))}
                </ol>
                <Pagination
                  page={page}
                  size={SIZE}
                  total={total}
                  onPage={(to) => change({ page: to > 1 ? to : undefined })}
                />
              </>
            )
          }
        </Found>
      </Panel>
      {shown && <Returned entry={shown} onClose={() => setShown(null)} />}
    </>
  );
}

function Day({ name, children }: { name: string; children: ReactNode }) {
  return (
    // biome-ignore lint/a11y/noLabelWithoutControl: the control is the child
    <label className="flex items-center gap-2 text-sm text-soft max-sm:col-span-2 sm:ml-1">
      <span className="max-sm:w-10">{name}</span>
      {children}
    </label>
  );
}

function Row({ entry, onShow }: { entry: Schemas["AuditEntry"]; onShow: () => void }) {
  const name = entry.app_name ?? "an unknown app";
  return (
    <li className="grid grid-cols-[auto_minmax(0,1fr)_auto] items-center gap-x-3 gap-y-1.5 px-4 py-2.5 text-sm sm:grid-cols-[minmax(0,13rem)_10rem_minmax(0,1fr)_auto]">
      <span className="flex min-w-0 items-center gap-3 max-sm:col-span-2">
        {entry.action === "read" ? (
          <Eye aria-label="read" size={16} className="shrink-0 text-accent" />
        ) : (
          <PenLine aria-label="write" size={16} className="shrink-0 text-warn" />
        )}
        <AppIcon name={name} size={22} />
        <span className="truncate font-medium">{name}</span>
      </span>
      <span className="flex min-w-0 max-sm:order-2">
        <Badge>{entry.kind}</Badge>
      </span>
      <span className="flex min-w-0 flex-wrap items-center gap-x-3 max-sm:order-2 max-sm:col-span-2">
        {entry.memories !== null &&
          (entry.memories > 0 ? (
            <button type="button" className="text-accent hover:underline" onClick={onShow}>
              {plural(entry.memories, "memory", "memories")}
            </button>
          ) : (
            <span className="text-faint">nothing</span>
          ))}
        {entry.memory_id && (
          <Link to="/memory/$id" params={{ id: entry.memory_id }} className="text-accent hover:underline">
            the memory
          </Link>
        )}
        <span className="truncate text-xs text-faint">{entry.actor}</span>
      </span>
      <span className="ml-auto flex items-center gap-3 text-soft max-sm:order-1">
        <TraceLink id={entry.trace_id} />
        <When time={entry.at} />
      </span>
    </li>
  );
}

/** To where traces are looked at, when the server knows where that is. */
export function TraceLink({ id }: { id: string | null }) {
  const who = useQuery(me());
  const template = who.data?.trace_url;
  if (!id || !template) return null;
  return (
    <a
      href={template.replace("{trace_id}", id)}
      target="_blank"
      rel="noreferrer"
      className="inline-flex items-center gap-1 text-accent hover:underline"
    >
      Trace <ExternalLink aria-hidden size={12} />
    </a>
  );
}
