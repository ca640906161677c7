/** What pages ask of memories and apps, and under which keys it is kept. */
import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import { api, body, type Schemas } from "./client";

export type State = Schemas["Memory"]["state"];
export type DifferenceKind = Schemas["Change"]["kind"];
export type SortColumn = "memory" | "app_name" | "created_at";
export type Direction = "asc" | "desc";

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
