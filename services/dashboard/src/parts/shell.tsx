/** What stands around every page: where one can go, refresh, a new memory, and whether it is live. */
import { useIsFetching, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, Outlet, useLocation } from "@tanstack/react-router";
import {
  AppWindow,
  BookOpen,
  ChevronDown,
  HeartPulse,
  KeyRound,
  Layers,
  LayoutDashboard,
  LogOut,
  MailX,
  Menu as MenuIcon,
  Moon,
  NotebookText,
  Plus,
  Radio,
  RefreshCw,
  ScrollText,
  Settings,
  ShieldCheck,
  Sun,
} from "lucide-react";
import { type ReactNode, useEffect, useState } from "react";
import { mustShow } from "../api/client";
import { follow, type LiveState } from "../api/live";
import { me } from "../api/operating";
import { Permissions, type Scope } from "../api/permissions";
import { refresh, refreshAll } from "../api/refreshing";
import { signOut, token } from "../api/session";
import { locks } from "../api/who";
import { cx } from "../lib/cx";
import { Button, IconButton } from "../ui/button";
import { Menu, MenuItem, MenuLine } from "../ui/menu";
import { CreateMemory } from "./create-memory";
import { SignIn } from "./sign-in";

const MAIN = [
  { to: "/", name: "Dashboard", icon: <LayoutDashboard size={15} /> },
  { to: "/memories", name: "Memories", icon: <NotebookText size={15} /> },
  { to: "/apps", name: "Apps", icon: <AppWindow size={15} /> },
  { to: "/settings", name: "Settings", icon: <Settings size={15} /> },
] as const;

/** Who may do what, and did it. */
const ACCESS = [
  { to: "/access", name: "Access rules", icon: <ShieldCheck size={15} /> },
  { to: "/tokens", name: "Tokens", icon: <KeyRound size={15} /> },
  { to: "/audit", name: "Audit", icon: <ScrollText size={15} /> },
] as const;

/** How it works inside. */
const INSIDE = [
  { to: "/events", name: "Events", icon: <Radio size={15} /> },
  { to: "/projections", name: "Projections", icon: <Layers size={15} /> },
  { to: "/dead-letters", name: "Dead letters", icon: <MailX size={15} /> },
  { to: "/health", name: "Health", icon: <HeartPulse size={15} /> },
  { to: "/docs", name: "API", icon: <BookOpen size={15} /> },
] as const;

const GO =
  "rounded-lg px-3 py-1.5 text-sm font-medium text-soft transition-colors hover:text-ink data-[state=open]:bg-sunken";
const GONE = "bg-accent-soft !text-accent";

export function Shell() {
  const who = useQuery(me());
  return (
    <Permissions value={who.data?.scopes ?? null}>
      <Frame />
    </Permissions>
  );
}

function Frame() {
  const queries = useQueryClient();
  const fetching = useIsFetching();
  const [creating, setCreating] = useState(false);
  const who = useQuery(me());
  const locked = locks(who.error);
  const live = useLive(!locked);
  const path = useLocation({ select: (location) => location.pathname });
  const further = [...ACCESS, ...INSIDE].find((page) => page.to === path);
  return (
    <div className="flex min-h-dvh flex-col">
      <a href="#content" className="sr-only focus:not-sr-only focus:absolute focus:z-50 focus:bg-raised focus:p-2">
        Skip to content
      </a>
      <header className="sticky top-0 z-30 border-b bg-panel/90 backdrop-blur">
        <div className="mx-auto flex h-14 max-w-7xl items-center gap-2 px-4">
          <Link to="/" className="mr-2 flex shrink-0 items-center gap-2 font-semibold">
            <img src="/icon.svg" alt="" width={24} height={24} />
            <span className="max-sm:sr-only">Memlog</span>
          </Link>
          <nav aria-label="Main" className="flex items-center gap-1 max-md:hidden">
            {MAIN.map((page) => (
              <Go key={page.to} to={page.to}>
                {page.name}
              </Go>
            ))}
            <Menu
              trigger={
                <button type="button" className={cx(GO, "inline-flex items-center gap-1.5", further && GONE)}>
                  {further?.name ?? "More"} <ChevronDown aria-hidden size={14} />
                </button>
              }
            >
              <Entries pages={ACCESS} />
              <MenuLine />
              <Entries pages={INSIDE} />
            </Menu>
          </nav>
          <div className="md:hidden">
            <Menu
              trigger={
                <IconButton label="Pages">
                  <MenuIcon size={18} />
                </IconButton>
              }
            >
              <Entries pages={MAIN} />
              <MenuLine />
              <Entries pages={ACCESS} />
              <MenuLine />
              <Entries pages={INSIDE} />
            </Menu>
          </div>
          <div className="grow" />
          {!locked && <Live state={live.state} />}
          <IconButton label="Refresh" onClick={() => void queries.invalidateQueries({ refetchType: "active" })}>
            <RefreshCw size={16} className={cx(fetching > 0 && "animate-spin")} />
          </IconButton>
          <Theme />
          {token() && !locked && (
            <IconButton
              label="Sign out"
              onClick={() => {
                signOut();
                void queries.resetQueries();
              }}
            >
              <LogOut size={16} />
            </IconButton>
          )}
          {!locked && (
            <Button needs="write" kind="primary" small onClick={() => setCreating(true)} aria-label="Create memory">
              <Plus aria-hidden size={16} />
              <span className="max-sm:hidden md:max-lg:hidden">Create memory</span>
            </Button>
          )}
        </div>
      </header>
      <main id="content" className="mx-auto w-full max-w-7xl grow px-4 py-6">
        {live.away && !locked && <Away />}
        {who.data && !locked && <Limits scopes={who.data.scopes} />}
        {locked ? <SignIn refused={token() === null ? null : who.error} /> : <Outlet />}
      </main>
      <CreateMemory open={creating} onClose={() => setCreating(false)} />
    </div>
  );
}

/** Whatever the reason is, nothing is asked for again that only an event would tell of. */
function Away() {
  return (
    <p role="note" className="mb-4 rounded-lg border bg-warn-soft px-3 py-2 text-sm text-warn">
      This page is not receiving updates, so what it shows may be out of date. It reconnects by itself.
    </p>
  );
}

const LIST = new Intl.ListFormat("en-GB");
const SCOPES: readonly Scope[] = ["read", "write", "delete", "admin"];

/** Says once what the token of this tab may not do, since it is switched off everywhere. */
function Limits({ scopes }: { scopes: readonly Scope[] }) {
  const lacking = SCOPES.filter((scope) => !scopes.includes(scope));
  if (lacking.length === 0) return null;
  return (
    <p role="note" className="mb-4 rounded-lg border bg-warn-soft px-3 py-2 text-sm text-warn">
      Your token does not have the {LIST.format(lacking.map((scope) => `“${scope}”`))}{" "}
      {lacking.length === 1 ? "permission" : "permissions"}. Actions that need {lacking.length === 1 ? "it" : "them"}{" "}
      are disabled.
    </p>
  );
}

function Entries({ pages }: { pages: typeof MAIN | typeof ACCESS | typeof INSIDE }) {
  return pages.map((page) => (
    <MenuItem key={page.to} asChild>
      <Link to={page.to} activeOptions={{ exact: page.to === "/" }} activeProps={{ className: "text-accent" }}>
        <span aria-hidden>{page.icon}</span>
        {page.name}
      </Link>
    </MenuItem>
  ));
}

function Go({ to, children }: { to: (typeof MAIN)[number]["to"]; children: ReactNode }) {
  return (
    <Link
      to={to}
      activeOptions={{ exact: to === "/", includeSearch: false }}
      activeProps={{ className: GONE }}
      className={GO}
    >
      {children}
    </Link>
  );
}

/** Follows the log; what an event may have changed is asked for again. Where events may have been missed, all is. */
function useLive(wanted: boolean): { state: LiveState; away: boolean } {
  const queries = useQueryClient();
  const [state, setState] = useState<LiveState>("connecting");
  // How often in a row: once is nothing to speak of, as when Memlog starts anew.
  const [losses, setLosses] = useState(0);
  useEffect(() => {
    if (!wanted) return;
    const ending = new AbortController();
    void follow(
      {
        onOpen: refreshAll,
        onEvent: refresh,
        onState: (now) => {
          setState(now);
          if (now !== "connecting") setLosses((before) => (now === "lost" ? before + 1 : 0));
          if (now !== "lost") return;
          // Who answers next may have another log.
          mustShow(null);
          // The reason may be that the token does not count any more.
          void queries.invalidateQueries({ queryKey: ["me"] });
        },
      },
      ending.signal,
    );
    return () => {
      ending.abort();
      mustShow(null);
      setLosses(0);
    };
  }, [queries, wanted]);
  return { state, away: losses > 1 };
}

function Live({ state }: { state: LiveState }) {
  const words = { live: "Live", connecting: "Connecting…", lost: "Not connected" }[state];
  const tone = { live: "bg-good", connecting: "bg-warn", lost: "bg-bad" }[state];
  return (
    <span role="status" title={words} className="flex items-center gap-1.5 px-1 text-xs text-soft">
      <span aria-hidden className={cx("size-2 rounded-full", tone)} />
      <span className="max-lg:sr-only">{words}</span>
    </span>
  );
}

function Theme() {
  const [dark, setDark] = useState(document.documentElement.dataset.theme === "dark");
  const toggle = () => {
    const theme = dark ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    localStorage.setItem("memlog.theme", theme);
    setDark(!dark);
  };
  return (
    <IconButton label={dark ? "Light theme" : "Dark theme"} onClick={toggle}>
      {dark ? <Sun size={16} /> : <Moon size={16} />}
    </IconButton>
  );
}
