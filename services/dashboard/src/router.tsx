/** The pages, and what of them stands in the address: filters and searches survive reload and going back. */
import { createRootRoute, createRoute, createRouter, lazyRouteComponent } from "@tanstack/react-router";
import { changes, type DifferenceKind, type Direction, memories, type SortColumn } from "./api/queries";
import { client } from "./api/query-client";
import { type Moments, untilThen } from "./lib/moments";
import { NotFound } from "./pages/not-found";
import { Shell } from "./parts/shell";
import { Failure } from "./ui/states";

const root = createRootRoute({
  component: Shell,
  notFoundComponent: NotFound,
  errorComponent: ({ error, reset }) => <Failure error={error} retry={reset} />,
});

export type HomeSearch = { range?: "7d" | "30d" | "12w" | "12m" };

export type MemoriesSearch = {
  search?: string;
  apps?: string[];
  categories?: string[];
  archived?: boolean;
  sort?: SortColumn;
  direction?: Direction;
  page?: number;
  size?: number;
  as_of?: string;
  until?: string;
  kind?: DifferenceKind;
};

export type AppsSearch = {
  name?: string;
  show?: "active" | "inactive";
  sort?: "name" | "memories" | "memories_accessed";
  direction?: Direction;
  page?: number;
};

export type AuditSearch = {
  action?: "read" | "write";
  kind?: string;
  app?: string;
  memory?: string;
  without_own_reads?: boolean;
  from?: number;
  to?: number;
  page?: number;
};

export type AccessSearch = { app?: string };
export type EventsSearch = { type?: string };

// A search for digits may come as a number.
const text = (value: unknown): string | undefined =>
  typeof value === "number" ? String(value) : typeof value === "string" && value !== "" ? value : undefined;
const moment = (value: unknown): string | undefined =>
  typeof value === "string" && !Number.isNaN(Date.parse(value)) ? value : undefined;
const moments = ({ as_of, until }: Record<string, unknown>): Record<keyof Moments, string | undefined> => {
  const since = moment(as_of);
  return { as_of: since, until: since && (until === "now" ? until : moment(until)) };
};
const whole = (value: unknown): number | undefined =>
  typeof value === "number" && Number.isInteger(value) && value > 0 ? value : undefined;
const list = (value: unknown): string[] | undefined => {
  const found = Array.isArray(value) ? value.filter((each) => typeof each === "string") : [];
  return found.length ? found : undefined;
};
const oneOf = <T extends string>(allowed: readonly T[], value: unknown): T | undefined =>
  allowed.find((each) => each === value);

/** What a page takes from the address. Names without a value stay: they hide what is there but makes no sense. */
const known = <T extends object>(values: Record<keyof T, unknown>): T => values as T;

/** Without the names that have no value, so that they do not stand in the address. */
export function drop<T extends object>(values: Partial<Record<keyof T, unknown>>): T {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as T;
}

export const memoriesRoute = createRoute({
  getParentRoute: () => root,
  path: "/memories",
  validateSearch: (given): MemoriesSearch =>
    known<MemoriesSearch>({
      search: text(given.search),
      apps: list(given.apps),
      categories: list(given.categories),
      archived: given.archived === true ? true : undefined,
      sort: oneOf(["memory", "app_name", "created_at"] as const, given.sort),
      direction: oneOf(["asc", "desc"] as const, given.direction),
      page: whole(given.page),
      size: whole(given.size),
      ...moments(given),
      kind: oneOf(["added", "deleted", "revised", "state", "categories"] as const, given.kind),
    }),
  loaderDeps: ({ search }) => search,
  loader: ({ deps }) => {
    const { as_of: since, until, kind, search, page = 1, size = 10 } = deps;
    if (since === undefined || until === undefined) void client.prefetchQuery(memories(deps));
    else void client.prefetchQuery(changes({ since, until: untilThen(until), kind, search, page, size }));
  },
  component: lazyRouteComponent(() => import("./pages/memories"), "MemoriesPage"),
});

const pages = [
  createRoute({
    getParentRoute: () => root,
    path: "/",
    validateSearch: (given): HomeSearch =>
      known<HomeSearch>({ range: oneOf(["7d", "30d", "12w", "12m"] as const, given.range) }),
    loader: () => void client.prefetchQuery(memories({})),
    component: lazyRouteComponent(() => import("./pages/home"), "HomePage"),
  }),
  memoriesRoute,
  createRoute({
    getParentRoute: () => root,
    path: "/memory/$id",
    validateSearch: (given): Moments => moments(given),
    component: lazyRouteComponent(() => import("./pages/memory"), "MemoryPage"),
  }),
  createRoute({
    getParentRoute: () => root,
    path: "/apps",
    validateSearch: (given): AppsSearch =>
      known<AppsSearch>({
        name: text(given.name),
        show: oneOf(["active", "inactive"] as const, given.show),
        sort: oneOf(["name", "memories", "memories_accessed"] as const, given.sort),
        direction: oneOf(["asc", "desc"] as const, given.direction),
        page: whole(given.page),
      }),
    component: lazyRouteComponent(() => import("./pages/apps"), "AppsPage"),
  }),
  createRoute({
    getParentRoute: () => root,
    path: "/apps/$id",
    component: lazyRouteComponent(() => import("./pages/app"), "AppPage"),
  }),
  createRoute({
    getParentRoute: () => root,
    path: "/settings",
    component: lazyRouteComponent(() => import("./pages/settings"), "SettingsPage"),
  }),
  createRoute({
    getParentRoute: () => root,
    path: "/access",
    validateSearch: (given): AccessSearch => known<AccessSearch>({ app: text(given.app) }),
    component: lazyRouteComponent(() => import("./pages/access"), "AccessPage"),
  }),
  createRoute({
    getParentRoute: () => root,
    path: "/audit",
    validateSearch: (given): AuditSearch =>
      known<AuditSearch>({
        action: oneOf(["read", "write"] as const, given.action),
        kind: text(given.kind),
        app: text(given.app),
        memory: text(given.memory),
        without_own_reads: given.without_own_reads === true ? true : undefined,
        from: whole(given.from),
        to: whole(given.to),
        page: whole(given.page),
      }),
    component: lazyRouteComponent(() => import("./pages/audit"), "AuditPage"),
  }),
  createRoute({
    getParentRoute: () => root,
    path: "/events",
    validateSearch: (given): EventsSearch => known<EventsSearch>({ type: text(given.type) }),
    component: lazyRouteComponent(() => import("./pages/events"), "EventsPage"),
  }),
  createRoute({
    getParentRoute: () => root,
    path: "/projections",
    component: lazyRouteComponent(() => import("./pages/projections"), "ProjectionsPage"),
  }),
  createRoute({
    getParentRoute: () => root,
    path: "/dead-letters",
    component: lazyRouteComponent(() => import("./pages/dead-letters"), "DeadLettersPage"),
  }),
  createRoute({
    getParentRoute: () => root,
    path: "/tokens",
    component: lazyRouteComponent(() => import("./pages/tokens"), "TokensPage"),
  }),
  createRoute({
    getParentRoute: () => root,
    path: "/docs",
    component: lazyRouteComponent(() => import("./pages/api-docs"), "ApiDocsPage"),
  }),
  createRoute({
    getParentRoute: () => root,
    path: "/health",
    component: lazyRouteComponent(() => import("./pages/health"), "HealthPage"),
  }),
];

export const router = createRouter({
  routeTree: root.addChildren(pages),
  defaultPreload: "intent",
  scrollRestoration: true,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
