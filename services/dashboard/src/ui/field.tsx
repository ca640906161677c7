import type { ComponentProps, ReactNode } from "react";
import { cx } from "../lib/cx";

export const INPUT =
  "h-9 w-full rounded-lg border bg-panel px-3 text-sm text-ink placeholder:text-faint disabled:opacity-50 aria-[invalid=true]:border-bad";

export function Input({ className, ...rest }: ComponentProps<"input">) {
  return <input className={cx(INPUT, className)} {...rest} />;
}

export function TextArea({ className, ...rest }: ComponentProps<"textarea">) {
  return <textarea className={cx(INPUT, "h-auto min-h-28 py-2 leading-relaxed", className)} {...rest} />;
}

export function Select({ className, ...rest }: ComponentProps<"select">) {
  return <select className={cx(INPUT, "pr-8", className)} {...rest} />;
}

/** A labelled input, with what there is to know about it below. */
export function Field({ label, hint, children }: { label: string; hint?: ReactNode; children: ReactNode }) {
  return (
    // biome-ignore lint/a11y/noLabelWithoutControl: the control is the child
    <label className="block">
      <span className="mb-1.5 block text-sm font-medium">{label}</span>
      {children}
      {hint && <span className="mt-1 block text-xs text-faint">{hint}</span>}
    </label>
  );
}
