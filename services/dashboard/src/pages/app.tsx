import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { ArrowLeft, Pause, Play } from "lucide-react";
import { Tabs } from "radix-ui";
import { useState } from "react";
import { api, body } from "../api/client";
import { app, appAccessed, appMemories } from "../api/queries";
import { count, plural } from "../lib/format";
import { AppIcon } from "../parts/app-icon";
import { MemoryTable } from "../parts/memory-table";
import { Button } from "../ui/button";
import { Pagination } from "../ui/pagination";
import { Badge, Panel } from "../ui/panel";
import { Empty, Failure, Skeleton, SkeletonRows } from "../ui/states";
import { useToast } from "../ui/toast";
import { When } from "../ui/when";

const SIZE = 10;
const TAB =
  "border-b-2 border-transparent px-4 py-2.5 text-sm font-medium text-soft data-[state=active]:border-accent data-[state=active]:text-ink";

export function AppPage() {
  const { id } = useParams({ from: "/apps/$id" });
  const found = useQuery(app(id));
  return (
    <>
      <Link to="/apps" className="mb-4 inline-flex items-center gap-1.5 text-sm text-soft hover:text-ink">
        <ArrowLeft aria-hidden size={15} /> Apps
      </Link>
      {found.error && !found.data ? (
        <Panel>
          <Failure error={found.error} retry={found.refetch} />
        </Panel>
      ) : (
        <div className="grid grid-cols-1 items-start gap-4 lg:grid-cols-4">
          <Panel className="min-w-0 lg:col-span-3">
            <Tabs.Root defaultValue="created">
              <Tabs.List aria-label="Memories of this app" className="flex border-b">
                <Tabs.Trigger value="created" className={TAB}>
                  Created
                </Tabs.Trigger>
                <Tabs.Trigger value="accessed" className={TAB}>
                  Accessed
                </Tabs.Trigger>
              </Tabs.List>
              <Tabs.Content value="created">
                <Created id={id} />
              </Tabs.Content>
              <Tabs.Content value="accessed">
                <Accessed id={id} />
              </Tabs.Content>
            </Tabs.Root>
          </Panel>
          <About id={id} />
        </div>
      )}
    </>
  );
}

function About({ id }: { id: string }) {
  const { data } = useQuery(app(id));
  const queries = useQueryClient();
  const toast = useToast();
  const setActive = useMutation({
    mutationFn: (active: boolean) =>
      body(api.PUT("/api/v1/apps/{app_id}", { params: { path: { app_id: id }, query: { is_active: active } } })),
    onSuccess: (_, active) =>
      toast.done(active ? "It may read and write again." : "Paused: it reads and writes nothing."),
    onError: toast.failed,
    onSettled: () => queries.invalidateQueries(),
  });
  if (!data) return <Skeleton className="h-64" />;
  return (
    <Panel className="order-first space-y-4 p-5 lg:order-none">
      <div className="flex items-center gap-3">
        <AppIcon name={data.name} size={40} />
        <div className="min-w-0">
          <h1 className="truncate text-lg font-semibold">{data.name}</h1>
          <Badge tone={data.is_active ? "good" : "warn"}>{data.is_active ? "active" : "paused"}</Badge>
        </div>
      </div>
      <dl className="space-y-2 text-sm">
        <Fact name="Memories created" value={count(data.total_memories_created)} />
        <Fact name="Memories accessed" value={count(data.total_memories_accessed)} />
        <Fact name="First accessed" value={data.first_accessed ? <When time={data.first_accessed} /> : "never"} />
        <Fact name="Last accessed" value={data.last_accessed ? <When time={data.last_accessed} /> : "never"} />
      </dl>
      <Button
        className="w-full"
        kind={data.is_active ? "plain" : "primary"}
        busy={setActive.isPending}
        onClick={() => setActive.mutate(!data.is_active)}
      >
        {data.is_active ? <Pause aria-hidden size={15} /> : <Play aria-hidden size={15} />}
        {data.is_active ? "Pause" : "Unpause"}
      </Button>
    </Panel>
  );
}

function Fact({ name, value }: { name: string; value: React.ReactNode }) {
  return (
    <div className="flex justify-between gap-3">
      <dt className="text-soft">{name}</dt>
      <dd className="font-medium">{value}</dd>
    </div>
  );
}

function Created({ id }: { id: string }) {
  const [page, setPage] = useState(1);
  const found = useQuery(appMemories(id, page, SIZE));
  if (found.isPending) return <SkeletonRows />;
  if (found.error && !found.data) return <Failure error={found.error} retry={found.refetch} />;
  if (found.data.total === 0) return <Empty title="It has written nothing yet" />;
  return (
    <>
      <MemoryTable rows={found.data.memories} />
      <Pagination page={page} size={SIZE} total={found.data.total} onPage={setPage} />
    </>
  );
}

function Accessed({ id }: { id: string }) {
  const [page, setPage] = useState(1);
  const found = useQuery(appAccessed(id, page, SIZE));
  if (found.isPending) return <SkeletonRows />;
  if (found.error && !found.data) return <Failure error={found.error} retry={found.refetch} />;
  if (found.data.total === 0) return <Empty title="It has read nothing yet" />;
  return (
    <>
      <ol className="divide-y">
        {found.data.memories.map(({ memory, access_count: reads }) => (
          <li key={memory.id} className="flex items-center gap-3 px-4 py-3 text-sm">
            <Link
              to="/memory/$id"
              params={{ id: memory.id }}
              className="line-clamp-2 min-w-0 grow break-words hover:underline"
            >
              {memory.content}
            </Link>
            <Badge>{plural(reads, "read")}</Badge>
          </li>
        ))}
      </ol>
      <Pagination page={page} size={SIZE} total={found.data.total} onPage={setPage} />
    </>
  );
}
