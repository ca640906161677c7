import type { ReactNode } from "react";
import { cx } from "../lib/cx";
import { useTitle } from "../lib/use-title";

export function Panel({ children, className }: { children: ReactNode; className?: string }) {
  return <section className={cx("rounded-xl border bg-panel", className)}>{children}</section>;
}

/** A panel's name, with what is to be said or done beside it. */
export function PanelHead({ title, children }: { title: ReactNode; children?: ReactNode }) {
  return (
    <div className="flex min-h-12 flex-wrap items-center justify-between gap-x-3 gap-y-2 border-b px-4 py-2">
      <h2 className="min-w-0 font-semibold break-words">{title}</h2>
      {children}
    </div>
  );
}

/** A panel of one matter, with what there is to know about it. */
export function Section({ title, hint, children }: { title: string; hint: string; children: ReactNode }) {
  return (
    <Panel className="p-5">
      <h2 className="text-base font-semibold">{title}</h2>
      <p className="mt-1 mb-4 text-sm text-soft">{hint}</p>
      {children}
    </Panel>
  );
}

type HeadProps = { title: string; icon?: ReactNode; hint?: ReactNode; children?: ReactNode };

/** A page's head: its name (the tab's, too), what is known about it, and what can be done. */
export function PageHead({ title, icon, hint, children }: HeadProps) {
  useTitle(title);
  return (
    <div className="mb-5 flex flex-wrap items-end justify-between gap-x-6 gap-y-3 lg:flex-nowrap">
      <div className="flex min-w-0 items-center gap-3">
        {icon}
        <div className="min-w-0">
          <h1 className="text-2xl font-semibold tracking-tight break-words">{title}</h1>
          {hint && <p className="mt-1 max-w-prose text-sm text-pretty text-soft">{hint}</p>}
        </div>
      </div>
      {children && <div className="flex flex-wrap items-center gap-2 max-sm:w-full lg:justify-end">{children}</div>}
    </div>
  );
}

const TONES = {
  plain: "bg-chip text-soft",
  accent: "bg-accent-soft text-accent",
  good: "bg-good-soft text-good",
  warn: "bg-warn-soft text-warn",
  bad: "bg-bad-soft text-bad",
};

export function Badge({
  tone = "plain",
  children,
  title,
}: {
  tone?: keyof typeof TONES;
  children: ReactNode;
  title?: string;
}) {
  return (
    <span
      title={title}
      className={cx(
        "inline-flex max-w-full items-center gap-1 truncate rounded-md px-1.5 py-0.5 align-middle text-xs font-medium",
        TONES[tone],
      )}
    >
      {children}
    </span>
  );
}
