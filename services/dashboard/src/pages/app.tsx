import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { Pause, Play } from "lucide-react";
import { type ReactNode, useState } from "react";
import { api, body, type Schemas } from "../api/client";
import { app, appAccessed, appMemories } from "../api/queries";
import { count, plural } from "../lib/format";
import { AppIcon } from "../parts/app-icon";
import { AppState } from "../parts/app-state";
import { MemoryTable } from "../parts/memory-table";
import { BackLink } from "../ui/back-link";
import { Button } from "../ui/button";
import { Found } from "../ui/found";
import { Pagination } from "../ui/pagination";
import { Badge, PageHead, Panel } from "../ui/panel";
import { Empty } from "../ui/states";
import { Tabs } from "../ui/tabs";
import { useToast } from "../ui/toast";
import { When } from "../ui/when";

const SIZE = 10;

export function AppPage() {
  const { id } = useParams({ from: "/apps/$id" });
  const found = useQuery(app(id));
  return (
    <>
      <BackLink to="/apps">Apps</BackLink>
      <Found query={found} panel back={<BackLink to="/apps">Back to apps</BackLink>}>
        {(known) => (
          <>
            <Head id={id} app={known} />
            <Tabs
              label="Memories of this app"
              tabs={[
                { id: "created", name: "Created", content: <Created id={id} /> },
                { id: "accessed", name: "Accessed", content: <Accessed id={id} /> },
              ]}
            />
          </>
        )}
      </Found>
    </>
  );
}

function Head({ id, app }: { id: string; app: Schemas["AppDetail"] }) {
  const queries = useQueryClient();
  const toast = useToast();
  const setActive = useMutation({
    mutationFn: (active: boolean) =>
      body(api.PUT("/api/v1/apps/{app_id}", { params: { path: { app_id: id }, query: { is_active: active } } })),
    onSuccess: (_, active) =>
      toast.done(active ? "App resumed. It can read and write again." : "App paused. It can no longer read or write."),
    onError: toast.failed,
    onSettled: () => queries.invalidateQueries(),
  });
  return (
    <>
      <PageHead
        title={app.name}
        icon={<AppIcon name={app.name} size={44} />}
        hint={<AppState active={app.is_active} />}
      >
        <Button
          needs="admin"
          kind={app.is_active ? "plain" : "primary"}
          busy={setActive.isPending}
          onClick={() => setActive.mutate(!app.is_active)}
        >
          {app.is_active ? <Pause aria-hidden size={15} /> : <Play aria-hidden size={15} />}
          {app.is_active ? "Pause" : "Unpause"}
        </Button>
      </PageHead>
      <Panel className="mb-5">
        <dl className="grid grid-cols-2 gap-4 p-4 sm:grid-cols-4">
          <Fact name="Memories created" value={count(app.total_memories_created)} />
          <Fact name="Memories accessed" value={count(app.total_memories_accessed)} />
          <Fact name="First accessed" value={app.first_accessed ? <When time={app.first_accessed} /> : "never"} />
          <Fact name="Last accessed" value={app.last_accessed ? <When time={app.last_accessed} /> : "never"} />
        </dl>
      </Panel>
    </>
  );
}

function Fact({ name, value }: { name: string; value: ReactNode }) {
  return (
    <div>
      <dt className="text-sm text-soft">{name}</dt>
      <dd className="mt-0.5 font-semibold tabular-nums sm:text-lg">{value}</dd>
    </div>
  );
}

function Created({ id }: { id: string }) {
  const [page, setPage] = useState(1);
  const found = useQuery(appMemories(id, page, SIZE));
  return (
    <Panel>
      <Found query={found}>
        {({ memories, total }) =>
          total === 0 ? (
            <Empty title="No memories created yet" />
          ) : (
            <>
              <MemoryTable rows={memories} apps={false} />
              <Pagination page={page} size={SIZE} total={total} onPage={setPage} />
            </>
          )
        }
      </Found>
    </Panel>
  );
}

function Accessed({ id }: { id: string }) {
  const [page, setPage] = useState(1);
  const found = useQuery(appAccessed(id, page, SIZE));
  return (
    <Panel>
      <Found query={found}>
        {({ memories, total }) =>
          total === 0 ? (
            <Empty title="No memories read yet" />
          ) : (
            <>
              <ol className="divide-y">
                {memories.map(({ memory, access_count: reads }) => (
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
              <Pagination page={page} size={SIZE} total={total} onPage={setPage} />
            </>
          )
        }
      </Found>
    </Panel>
  );
}
