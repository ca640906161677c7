/** What the pages ask for, and under which keys it is kept. */
import {
  infiniteQueryOptions,
  keepPreviousData,
  MutationCache,
  QueryCache,
  QueryClient,
  type QueryKey,
  queryOptions,
} from "@tanstack/react-query";
import { type Document, operations } from "../lib/open-api";
import { ApiError, api, body, problem, type Schemas, send } from "./client";
import { token } from "./session";
import { askWho } from "./who";

export type State = Schemas["Memory"]["state"];
export type DifferenceKind = Schemas["Change"]["kind"];
export type SortColumn = "memory" | "app_name" | "created_at";
export type Direction = "asc" | "desc";

/** A token may stop to count at any time: whether it does, `me` says. */
function refused(error: Error, query?: { queryKey: QueryKey }): void {
  const ends = error instanceof ApiError && error.status === 401 && token() !== null;
  if (ends && query?.queryKey[0] !== "me") void client.invalidateQueries({ queryKey: ["me"] });
}

export const client: QueryClient = new QueryClient({
  queryCache: new QueryCache({ onError: refused }),
  mutationCache: new MutationCache({ onError: (error) => refused(error) }),
  defaultOptions: {
    // Memlog is here, whatever the browser thinks of its connection to elsewhere.
    mutations: { networkMode: "always" },
    queries: {
      networkMode: "always",
      staleTime: 10_000,
      // A refusal stays one however often it is asked for; only what may pass is tried again.
      retry: (failures, error) =>
        failures < 2 && error instanceof ApiError && (error.status === 0 || error.status >= 500),
    },
  },
});

export type MemoryFilter = {
  search?: string | undefined;
  apps?: string[] | undefined;
  categories?: string[] | undefined;
  archived?: boolean | undefined;
  sort?: SortColumn | undefined;
  direction?: Direction | undefined;
  page?: number | undefined;
  size?: number | undefined;
  as_of?: string | undefined;
};

/** Two filters that mean the same are one key, since a route asks before its page is there. What was is under a key of
 * its own: no event changes it. */
export const memories = (asked: MemoryFilter) => {
  const { apps, categories, archived, as_of, sort = "created_at", direction = "desc", page = 1, size = 10 } = asked;
  const filter = { search: asked.search || undefined, apps, categories, archived, as_of, sort, direction, page, size };
  return queryOptions({
    queryKey: [as_of ? "past" : "memories", filter],
    placeholderData: keepPreviousData,
    queryFn: ({ signal }) =>
      body(
        api.POST("/api/v1/memories/filter", {
          signal,
          body: {
            page: filter.page,
            size: filter.size,
            search_query: filter.search ?? null,
            app_ids: filter.apps?.length ? filter.apps : null,
            category_ids: filter.categories?.length ? filter.categories : null,
            sort_column: filter.sort,
            sort_direction: filter.direction,
            show_archived: filter.archived ?? false,
            as_of: filter.as_of ?? null,
          },
        }),
      ),
  });
};

export const memory = (id: string, asOf?: string) =>
  queryOptions({
    queryKey: asOf ? ["past", id, asOf] : ["memory", id, null],
    queryFn: ({ signal }) =>
      body(
        api.GET("/api/v1/memories/{memory_id}", {
          signal,
          params: { path: { memory_id: id }, query: asOf ? { as_of: asOf } : {} },
        }),
      ),
  });

export type ChangeFilter = {
  since: string;
  until?: string | undefined;
  kind?: DifferenceKind | undefined;
  search?: string | undefined;
  page: number;
  size: number;
};

export const changes = ({ since, until, kind, search, page, size }: ChangeFilter) =>
  queryOptions({
    queryKey: [until ? "past" : "memories", "changes", since, until, kind, search, page, size],
    placeholderData: keepPreviousData,
    queryFn: ({ signal }) =>
      body(
        api.GET("/api/v1/memories/changes", {
          signal,
          params: {
            query: {
              since,
              page,
              size,
              ...(until ? { until } : {}),
              ...(kind ? { kind } : {}),
              ...(search ? { search_query: search } : {}),
            },
          },
        }),
      ),
  });

/** When memories changed, from the first change to now. */
export const timeline = () =>
  queryOptions({
    queryKey: ["timeline"],
    queryFn: ({ signal }) => body(api.GET("/api/v1/memories/timeline", { signal, params: { query: { parts: 60 } } })),
  });

export const history = (id: string) =>
  queryOptions({
    queryKey: ["memory", id, "history"],
    queryFn: ({ signal }) =>
      body(api.GET("/api/v1/memories/{memory_id}/history", { signal, params: { path: { memory_id: id } } })),
  });

export const accessLog = (id: string, page: number) =>
  queryOptions({
    queryKey: ["memory", id, "access-log", page],
    placeholderData: keepPreviousData,
    queryFn: ({ signal }) =>
      body(
        api.GET("/api/v1/memories/{memory_id}/access-log", {
          signal,
          params: { path: { memory_id: id }, query: { page, page_size: 10 } },
        }),
      ),
  });

export const related = (id: string) =>
  queryOptions({
    queryKey: ["memory", id, "related"],
    queryFn: ({ signal }) =>
      body(api.GET("/api/v1/memories/{memory_id}/related", { signal, params: { path: { memory_id: id } } })),
  });

export const categories = () =>
  queryOptions({
    queryKey: ["categories"],
    queryFn: ({ signal }) => body(api.GET("/api/v1/memories/categories", { signal })),
  });

export type AppFilter = {
  name?: string | undefined;
  active?: boolean | undefined;
  sort?: "name" | "memories" | "memories_accessed" | undefined;
  direction?: Direction | undefined;
  page?: number | undefined;
  size?: number | undefined;
};

export const apps = (filter: AppFilter = {}) =>
  queryOptions({
    queryKey: ["apps", filter],
    placeholderData: keepPreviousData,
    queryFn: ({ signal }) =>
      body(
        api.GET("/api/v1/apps", {
          signal,
          params: {
            query: {
              ...(filter.name ? { name: filter.name } : {}),
              ...(filter.active === undefined ? {} : { is_active: filter.active }),
              sort_by: filter.sort ?? "name",
              sort_direction: filter.direction ?? "asc",
              page: filter.page ?? 1,
              page_size: filter.size ?? 100,
            },
          },
        }),
      ),
  });

export const app = (id: string) =>
  queryOptions({
    queryKey: ["app", id],
    queryFn: ({ signal }) => body(api.GET("/api/v1/apps/{app_id}", { signal, params: { path: { app_id: id } } })),
  });

export const appMemories = (id: string, page: number, size: number) =>
  queryOptions({
    queryKey: ["app", id, "memories", page, size],
    placeholderData: keepPreviousData,
    queryFn: ({ signal }) =>
      body(
        api.GET("/api/v1/apps/{app_id}/memories", {
          signal,
          params: { path: { app_id: id }, query: { page, page_size: size } },
        }),
      ),
  });

export const appAccessed = (id: string, page: number, size: number) =>
  queryOptions({
    queryKey: ["app", id, "accessed", page, size],
    placeholderData: keepPreviousData,
    queryFn: ({ signal }) =>
      body(
        api.GET("/api/v1/apps/{app_id}/accessed", {
          signal,
          params: { path: { app_id: id }, query: { page, page_size: size } },
        }),
      ),
  });

export const stats = () =>
  queryOptions({ queryKey: ["stats"], queryFn: ({ signal }) => body(api.GET("/api/v1/stats", { signal })) });

export type Step = Schemas["Activity"]["step"];

export const activity = (step: Step, steps: number) =>
  queryOptions({
    queryKey: ["stats", "activity", step, steps],
    placeholderData: keepPreviousData,
    // Reads are no events of the log: nothing says when there are more.
    refetchInterval: 30_000,
    queryFn: ({ signal }) => body(api.GET("/api/v1/stats/activity", { signal, params: { query: { step, steps } } })),
  });

/** Who comes and goes is no event of the log. */
export const connections = () =>
  queryOptions({
    queryKey: ["connections"],
    staleTime: 0,
    refetchInterval: 3000,
    queryFn: ({ signal }) => body(api.GET("/api/v1/connections", { signal })),
  });

export const health = () =>
  queryOptions({
    queryKey: ["health"],
    refetchInterval: 10_000,
    queryFn: ({ signal }) => body(api.GET("/api/v1/health", { signal })),
  });

export const projections = () =>
  queryOptions({
    queryKey: ["projections"],
    queryFn: ({ signal }) => body(api.GET("/api/v1/projections", { signal })),
    // A rebuild is watched closely; otherwise the lag is looked at now and then.
    refetchInterval: ({ state }) => (state.data?.projections.some(isBuilding) ? 500 : 3000),
  });

function isBuilding({ generations }: Schemas["ProjectionView"]): boolean {
  return generations.some(({ state, parity }) => state === "building" || (state === "following" && parity === null));
}

export const deadLetters = (after: number) =>
  queryOptions({
    queryKey: ["dead-letters", after],
    // No event of the log tells that a part gave up.
    refetchInterval: 5000,
    queryFn: ({ signal }) => body(api.GET("/api/v1/dead-letters", { signal, params: { query: { after, limit: 50 } } })),
  });

export const deadLetter = (id: number) =>
  queryOptions({
    queryKey: ["dead-letters", "one", id],
    queryFn: ({ signal }) =>
      body(api.GET("/api/v1/dead-letters/{letter_id}", { signal, params: { path: { letter_id: id } } })),
  });

export const tokens = (page: number, size: number) =>
  queryOptions({
    queryKey: ["tokens", page, size],
    placeholderData: keepPreviousData,
    queryFn: ({ signal }) => body(api.GET("/api/v1/tokens", { signal, params: { query: { page, size } } })),
  });

/** From the newest ones on back; each page in the order of the log. */
export const events = (type: string) =>
  infiniteQueryOptions({
    queryKey: ["events", type],
    initialPageParam: "",
    getNextPageParam: (page: Schemas["EventPage"]) => page.previous,
    queryFn: ({ signal, pageParam: before }) =>
      body(
        api.GET("/api/v1/events", {
          signal,
          params: { query: { limit: 50, newest: true, ...(before ? { before } : {}), ...(type ? { type } : {}) } },
        }),
      ),
  });

export const accessRules = (app: string, page: number, size: number) =>
  queryOptions({
    queryKey: ["access", "rules", app, page, size],
    placeholderData: keepPreviousData,
    queryFn: ({ signal }) =>
      body(
        api.GET("/api/v1/access-rules", { signal, params: { query: { page, size, ...(app ? { app_id: app } : {}) } } }),
      ),
  });

export const defaultAccess = () =>
  queryOptions({
    queryKey: ["access", "default"],
    queryFn: ({ signal }) => body(api.GET("/api/v1/access-rules/default", { signal })),
  });

/** What the app may read now. */
export const readable = (app: string, page: number, size: number) =>
  queryOptions({
    queryKey: ["access", "preview", app, page, size],
    placeholderData: keepPreviousData,
    queryFn: ({ signal }) =>
      body(api.GET("/api/v1/access-rules/preview", { signal, params: { query: { app_id: app, page, size } } })),
  });

export const configuration = () =>
  queryOptions({
    queryKey: ["configuration"],
    queryFn: async ({ signal }) => {
      const pending = api.GET("/api/v1/config", { signal });
      const configuration = await body(pending);
      // Which sections the environment sets stands in a header: the body is in OpenMemory's shape.
      const said = (await pending).response.headers.get("Memlog-From-Environment");
      return { configuration, fixed: said?.split(", ") ?? [] };
    },
  });

/** For whom this tab acts, and what it may do. */
export const me = () =>
  queryOptions({
    queryKey: ["me"],
    staleTime: Number.POSITIVE_INFINITY,
    queryFn: ({ signal }) => askWho({ signal }),
  });

export type AuditFilter = {
  action?: "read" | "write" | undefined;
  kind?: string | undefined;
  app?: string | undefined;
  memory?: string | undefined;
  without_own_reads?: boolean | undefined;
  from?: number | undefined;
  to?: number | undefined;
  page: number;
  size: number;
};

export const audit = ({ action, kind, app, memory, without_own_reads, from, to, page, size }: AuditFilter) =>
  queryOptions({
    queryKey: ["audit", action, kind, app, memory, without_own_reads, from, to, page, size],
    placeholderData: keepPreviousData,
    // Reads are no events of the log: nothing tells of them, and the newest are on the first page.
    refetchInterval: page === 1 ? 3000 : false,
    queryFn: ({ signal }) =>
      body(
        api.GET("/api/v1/audit", {
          signal,
          params: {
            query: {
              page,
              size,
              ...(action ? { action } : {}),
              ...(kind ? { kind } : {}),
              ...(app ? { app_id: app } : {}),
              ...(memory ? { memory_id: memory } : {}),
              ...(without_own_reads ? { without_own_reads } : {}),
              ...(from === undefined ? {} : { from_date: from }),
              ...(to === undefined ? {} : { to_date: to }),
            },
          },
        }),
      ),
  });

export const readMemories = (id: string) =>
  queryOptions({
    queryKey: ["audit", "read", id],
    queryFn: ({ signal }) => body(api.GET("/api/v1/audit/{read_id}", { signal, params: { path: { read_id: id } } })),
  });

/** Those of these memories (100 at most) that are there now, in any state. */
export const memoriesNow = (ids: readonly string[]) =>
  queryOptions({
    queryKey: ["memories", "now", ids],
    queryFn: ({ signal }) =>
      body(
        api.POST("/api/v1/memories/filter", {
          signal,
          body: { memory_ids: [...ids], show_archived: true, page: 1, size: ids.length },
        }),
      ),
  });

/** The document of the API itself, which is no route of it. */
export const openApi = () =>
  queryOptions({
    queryKey: ["openapi"],
    staleTime: Number.POSITIVE_INFINITY,
    queryFn: async ({ signal }) => {
      const answer = await send(new Request("/openapi.json", { signal }));
      const found = await answer.json().catch(() => null);
      if (!answer.ok) throw problem(answer, found);
      return { summary: (found as Document).info.summary, operations: operations(found as Document) };
    },
  });
