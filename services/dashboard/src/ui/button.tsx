import type { ComponentProps, ReactNode } from "react";
import { type Scope, useLacking } from "../api/permissions";
import { cx } from "../lib/cx";

const KINDS = {
  primary: "bg-accent text-accent-ink hover:brightness-110 border-transparent",
  plain: "bg-panel text-ink hover:bg-sunken",
  quiet: "bg-transparent text-soft hover:bg-sunken hover:text-ink border-transparent",
  removal: "bg-transparent text-bad hover:bg-bad-soft border-transparent",
  danger: "bg-bad-soft text-bad hover:brightness-105 border-transparent",
};

type Props = ComponentProps<"button"> & { kind?: keyof typeof KINDS; small?: boolean; busy?: boolean; needs?: Scope };

/** `needs`: the scope that a token must have for what it does. */
export function Button({ kind = "plain", small, busy, needs, className, disabled, children, ...rest }: Props) {
  const lacking = useLacking(needs);
  return (
    <button
      type="button"
      disabled={disabled || busy || lacking !== undefined}
      aria-busy={busy || undefined}
      className={cx(
        "inline-flex items-center justify-center gap-2 rounded-lg border font-medium whitespace-nowrap transition select-none disabled:cursor-not-allowed disabled:opacity-50",
        small ? "h-8 px-2.5 text-sm" : "h-9 px-3.5 text-sm",
        KINDS[kind],
        className,
      )}
      {...rest}
      {...(lacking ? { title: lacking } : {})}
    >
      {busy && <Spinner />}
      {children}
    </button>
  );
}

/** A button that shows only an icon: `label` is what it is called. */
export function IconButton({
  label,
  children,
  className,
  ...rest
}: Omit<Props, "kind"> & { label: string; children: ReactNode }) {
  return (
    <Button kind="quiet" small aria-label={label} title={label} className={cx("w-8 !px-0", className)} {...rest}>
      {children}
    </Button>
  );
}

export function Spinner() {
  return (
    <span aria-hidden className="size-3.5 animate-spin rounded-full border-2 border-current border-r-transparent" />
  );
}
