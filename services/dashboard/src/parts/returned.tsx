import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import type { Schemas } from "../api/client";
import { readMemories } from "../api/operating";
import { memoriesNow } from "../api/queries";
import { Dialog } from "../ui/dialog";
import { Found } from "../ui/found";
import { Pagination } from "../ui/pagination";
import { Failure, Skeleton } from "../ui/states";
import { MemoryState } from "./memory-state";

const SIZE = 20;

/** What a read returned, best first. The audit holds ids alone: the texts are those of now. */
export function Returned({ entry, onClose }: { entry: Schemas["AuditEntry"]; onClose: () => void }) {
  const found = useQuery(readMemories(entry.id));
  return (
    <Dialog
      open
      onClose={onClose}
      title={`What this ${entry.kind} returned`}
      description={`Read by ${entry.app_name ?? "an unknown app"}. The texts are today’s; “then” shows what was known at the time.`}
    >
      <Found query={found}>{({ memories }) => <Ranked memories={memories} at={entry.at} onLeave={onClose} />}</Found>
    </Dialog>
  );
}

type Props = { memories: Schemas["ReadMemory"][]; at: string; onLeave: () => void };

function Ranked({ memories, at, onLeave }: Props) {
  const [page, setPage] = useState(1);
  const shown = memories.slice((page - 1) * SIZE, page * SIZE);
  const now = useQuery(memoriesNow(shown.map(({ memory_id }) => memory_id)));
  const there = now.data && new Map(now.data.items.map((memory) => [memory.id, memory]));
  return (
    <>
      {now.error && !there && <Failure error={now.error} retry={() => void now.refetch()} />}
      <ol className="max-h-96 divide-y overflow-y-auto" aria-label="Memories by rank">
        {shown.map(({ rank, memory_id, score }) => {
          const memory = there?.get(memory_id);
          return (
            <li key={rank} className="flex items-start gap-3 py-2.5 text-sm">
              <span className="w-8 shrink-0 text-right text-faint tabular-nums">{rank}</span>
              <div className="min-w-0 grow">
                {memory ? (
                  <Link
                    to="/memory/$id"
                    params={{ id: memory_id }}
                    onClick={onLeave}
                    className="line-clamp-3 break-words hover:underline"
                  >
                    {memory.content}
                  </Link>
                ) : there ? (
                  <span className="text-soft">
                    Deleted since. <code className="font-mono text-xs break-all">{memory_id}</code>
                  </span>
                ) : now.error ? (
                  <code className="font-mono text-xs break-all">{memory_id}</code>
                ) : (
                  <Skeleton className="h-5" />
                )}
                {memory && memory.state !== "active" && <MemoryState state={memory.state} />}
              </div>
              {score !== null && (
                <span className="shrink-0 text-soft tabular-nums" title="Score">
                  {score.toFixed(3)}
                </span>
              )}
              <Link
                to="/memory/$id"
                params={{ id: memory_id }}
                search={{ as_of: at }}
                onClick={onLeave}
                aria-label={`Memory ${rank} as it was known then`}
                className="shrink-0 text-accent hover:underline"
              >
                then
              </Link>
            </li>
          );
        })}
      </ol>
      <Pagination page={page} size={SIZE} total={memories.length} onPage={setPage} />
    </>
  );
}
