import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useParams } from "@tanstack/react-router";
import { ArrowLeft, Check, Copy, Pencil, Trash2 } from "lucide-react";
import { useState } from "react";
import { useLacking } from "../api/permissions";
import { memory } from "../api/queries";
import { AccessTimeline } from "../parts/access-timeline";
import { AppIcon } from "../parts/app-icon";
import { Categories } from "../parts/categories";
import { useChanging } from "../parts/changing";
import { EditMemory } from "../parts/edit-memory";
import { History } from "../parts/history";
import { Related } from "../parts/related";
import { Button, IconButton } from "../ui/button";
import { Select } from "../ui/field";
import { Panel } from "../ui/panel";
import { Failure, Skeleton } from "../ui/states";
import { When } from "../ui/when";

const STATES = ["active", "paused", "archived"] as const;

export function MemoryPage() {
  const { id } = useParams({ from: "/memory/$id" });
  const found = useQuery(memory(id));
  const { state, remove } = useChanging();
  const navigate = useNavigate();
  const [editing, setEditing] = useState(false);
  const readOnly = useLacking("write");
  return (
    <>
      <Link to="/memories" className="mb-4 inline-flex items-center gap-1.5 text-sm text-soft hover:text-ink">
        <ArrowLeft aria-hidden size={15} /> Memories
      </Link>
      {found.error && !found.data ? (
        <Panel>
          <Failure error={found.error} retry={found.refetch} />
        </Panel>
      ) : (
        <div className="grid grid-cols-1 items-start gap-4 lg:grid-cols-3">
          <div className="min-w-0 space-y-4 lg:col-span-2">
            <Panel className="p-5">
              <h1 className="sr-only">Memory</h1>
              {found.data ? (
                <>
                  <div className="mb-4 flex flex-wrap items-center gap-2">
                    <CopyId id={id} />
                    <div className="grow" />
                    {found.data.state === "deleted" ? (
                      <span className="text-sm text-bad">deleted</span>
                    ) : (
                      <>
                        <span className="w-32">
                          <Select
                            aria-label="State"
                            value={found.data.state}
                            disabled={state.isPending || readOnly !== undefined}
                            title={readOnly}
                            onChange={(event) =>
                              state.mutate({
                                memories: [found.data],
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
                        <Button
                          needs="delete"
                          kind="danger"
                          busy={remove.isPending}
                          onClick={() =>
                            remove.mutate(
                              { memories: [found.data] },
                              { onSuccess: () => void navigate({ to: "/memories" }) },
                            )
                          }
                        >
                          <Trash2 aria-hidden size={14} /> Delete
                        </Button>
                      </>
                    )}
                  </div>
                  <p className="text-lg leading-relaxed break-words whitespace-pre-wrap">{found.data.text}</p>
                  <div className="mt-5 flex flex-wrap items-center gap-x-6 gap-y-2 border-t pt-4 text-sm text-soft">
                    <Categories names={found.data.categories ?? []} show={8} />
                    <span className="flex items-center gap-2">
                      Created by
                      <Link
                        to="/apps/$id"
                        params={{ id: found.data.app_id }}
                        className="inline-flex items-center gap-1.5 text-ink hover:underline"
                      >
                        <AppIcon name={found.data.app_name} size={18} />
                        {found.data.app_name}
                      </Link>
                    </span>
                    <span>
                      <When time={found.data.created_at} />
                    </span>
                  </div>
                </>
              ) : (
                <div role="status" aria-label="Loading" className="space-y-3">
                  <Skeleton className="h-8 w-1/3" />
                  <Skeleton className="h-6" />
                  <Skeleton className="h-6 w-2/3" />
                </div>
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
    </>
  );
}

function CopyId({ id }: { id: string }) {
  const [copied, setCopied] = useState(false);
  return (
    <span className="flex min-w-0 items-center gap-1">
      <code className="truncate font-mono text-xs text-faint">{id}</code>
      <IconButton
        label={copied ? "Copied" : "Copy the id"}
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
