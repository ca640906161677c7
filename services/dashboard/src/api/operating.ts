/** What pages ask of Memlog itself: who may do what and did it, the log, and what is made of it. */
import { infiniteQueryOptions, keepPreviousData, queryOptions } from "@tanstack/react-query";
import { type Document, operations } from "../lib/open-api";
import { api, body, problem, type Schemas, send } from "./client";
import { askWho } from "./who";

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
