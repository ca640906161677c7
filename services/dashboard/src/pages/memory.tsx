import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { Check, Copy, Pencil, ShieldHalf, Trash2 } from "lucide-react";
import { useState } from "react";
import { ApiError } from "../api/client";
import { useLacking } from "../api/permissions";
import { memory } from "../api/queries";
import { type Moments, untilThen } from "../lib/moments";
import { useTitle } from "../lib/use-title";
import { AccessTimeline } from "../parts/access-timeline";
import { AddRule } from "../parts/add-rule";
import { AppIcon } from "../parts/app-icon";
import { Categories } from "../parts/categories";
import { useChanging } from "../parts/changing";
import { EditMemory } from "../parts/edit-memory";
import { History } from "../parts/history";
import { MemoryState } from "../parts/memory-state";
import { Related } from "../parts/related";
import { type Side, Sides } from "../parts/sides";
import { TimeTravel } from "../parts/time-travel";
import { drop } from "../router";
import { BackLink } from "../ui/back-link";
import { Button, IconButton } from "../ui/button";
import { Select } from "../ui/field";
import { Found, failure } from "../ui/found";
import { Panel } from "../ui/panel";
import { Empty, Failure, SkeletonRows } from "../ui/states";
import { When } from "../ui/when";

const STATES = ["active", "paused", "archived"] as const;

export function MemoryPage() {
  const { id } = useParams({ from: "/memory/$id" });
  const { as_of, until } = useSearch({ from: "/memory/$id" });
  const found = useQuery(memory(id, as_of));
  useTitle(found.data?.text.slice(0, 60) ?? "Memory");
  const { state, remove } = useChanging();
  const navigate = useNavigate({ from: "/memory/$id" });
  const [editing, setEditing] = useState(false);
  const [limiting, setLimiting] = useState(false);
  const readOnly = useLacking("write");
  const absent = as_of !== undefined && notThere(found.error);
  const failed = absent ? null : failure(found);
  return (
    <>
      <BackLink to="/memories" search={as_of ? { as_of } : {}}>
        Memories
      </BackLink>
      <TimeTravel
        what="this memory"
        moments={{ as_of, until }}
        onChange={(to) =>
          void navigate({ search: drop<Moments>(to), replace: as_of !== undefined && Boolean(to.as_of) })
        }
      />
      {failed ? (
        <Panel>
          <Failure
            error={failed}
            retry={() => void found.refetch()}
            back={
              <BackLink to="/memories" search={as_of ? { as_of } : {}}>
                Back to memories
              </BackLink>
            }
          />
        </Panel>
      ) : (
        <div className="grid grid-cols-1 items-start gap-4 lg:grid-cols-3">
          <div className="min-w-0 space-y-4 lg:col-span-2">
            <Panel className="p-5 max-sm:p-4">
              <h1 className="sr-only">Memory</h1>
              {as_of && until ? (
                <Comparison id={id} since={as_of} until={untilThen(until)} />
              ) : absent ? (
                <Empty title="Not stored at that time">This memory was added later, or was already deleted.</Empty>
              ) : (
                <Found query={found} rows={3}>
                  {(known) => (
                    <>
                      <div className="mb-4 flex flex-wrap items-center gap-2">
                        <CopyId id={id} />
                        <div className="grow" />
                        {as_of || known.state === "deleted" ? (
                          <MemoryState state={known.state} />
                        ) : (
                          <>
                            <span className="w-32 max-sm:w-auto max-sm:grow">
                              <Select
                                aria-label="State"
                                value={known.state}
                                disabled={state.isPending || readOnly !== undefined}
                                title={readOnly}
                                onChange={(event) =>
                                  state.mutate({
                                    memories: [known],
                                    to: event.target.value as (typeof STATES)[number],
                                  })
                                }
                              >
                                {STATES.map((each) => (
                                  <option key={each}>{each}</option>
                                ))}
                              </Select>
                            </span>
                            <Button needs="write" onClick={() => setEditing(true)}>
                              <Pencil aria-hidden size={14} /> Edit
                            </Button>
                            <IconButton needs="admin" label="Limit access…" onClick={() => setLimiting(true)}>
                              <ShieldHalf aria-hidden size={16} />
                            </IconButton>
                            <Button
                              needs="delete"
                              kind="danger"
                              busy={remove.isPending}
                              onClick={() =>
                                remove.mutate(
                                  { memories: [known] },
                                  { onSuccess: () => void navigate({ to: "/memories" }) },
                                )
                              }
                            >
                              <Trash2 aria-hidden size={14} /> Delete
                            </Button>
                          </>
                        )}
                      </div>
                      <p className="text-lg leading-relaxed break-words whitespace-pre-wrap">{known.text}</p>
                      <div className="mt-5 flex flex-wrap items-center gap-x-6 gap-y-2 border-t pt-4 text-sm text-soft">
                        <Categories names={known.categories ?? []} show={8} />
                        <span className="flex items-center gap-2">
                          Created by
                          <Link
                            to="/apps/$id"
                            params={{ id: known.app_id }}
                            className="inline-flex items-center gap-1.5 text-ink hover:underline"
                          >
                            <AppIcon name={known.app_name} size={18} />
                            {known.app_name}
                          </Link>
                        </span>
                        <span>
                          <When time={known.created_at} />
                        </span>
                      </div>
                    </>
                  )}
                </Found>
              )}
            </Panel>
            <History id={id} />
          </div>
          <div className="min-w-0 space-y-4">
            <AccessTimeline id={id} />
            <Related id={id} />
          </div>
        </div>
      )}
      {editing && found.data && <EditMemory id={id} text={found.data.text} onClose={() => setEditing(false)} />}
      {limiting && found.data && <AddRule memory={{ id, text: found.data.text }} onClose={() => setLimiting(false)} />}
    </>
  );
}

/** That the memory was not there at a moment is no failure. */
const notThere = (error: unknown) => error instanceof ApiError && error.status === 404;

/** What differs between a memory at one moment and at another (now, when there is none). */
function Comparison({ id, since, until }: { id: string; since: string; until: string | undefined }) {
  const [before, after] = [useQuery(memory(id, since)), useQuery(memory(id, until))];
  const failed = [before, after].find((side) => failure(side) && !notThere(side.error));
  if (failed) return <Failure error={failed.error} retry={() => void failed.refetch()} />;
  if (before.isPending || after.isPending) return <SkeletonRows rows={2} />;
  const sides = [before.data, after.data].map((side) =>
    side ? { content: side.text, state: side.state, categories: side.categories ?? [] } : null,
  );
  const [one = null, other = null] = sides;
  if (!one && !other) return <Empty title="Not stored at either time" />;
  return (
    <>
      <p className="mb-3 text-sm text-soft">
        {!one
          ? "Added in this period"
          : !other
            ? "Deleted in this period"
            : same(one, other)
              ? "No changes"
              : "Changed"}
      </p>
      <Sides before={one} after={other} />
    </>
  );
}

const same = (one: Side, other: Side) =>
  JSON.stringify([one.content, one.state, [...one.categories].sort()]) ===
  JSON.stringify([other.content, other.state, [...other.categories].sort()]);

function CopyId({ id }: { id: string }) {
  const [copied, setCopied] = useState(false);
  return (
    <span className="flex min-w-0 items-center gap-1">
      <code className="truncate font-mono text-xs text-faint">{id}</code>
      <IconButton
        label={copied ? "Copied" : "Copy ID"}
        onClick={() =>
          void navigator.clipboard.writeText(id).then(() => {
            setCopied(true);
            setTimeout(() => setCopied(false), 2000);
          })
        }
      >
        {copied ? <Check size={14} className="text-good" /> : <Copy size={14} />}
      </IconButton>
    </span>
  );
}
