import { ChevronDown } from "lucide-react";
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
  return (
    <span className="relative block">
      <select className={cx(INPUT, "cursor-pointer appearance-none truncate pr-8", className)} {...rest} />
      <ChevronDown aria-hidden size={15} className="pointer-events-none absolute top-2.5 right-2.5 text-faint" />
    </span>
  );
}

/** What a form was refused for. */
export function Refusal({ error }: { error: Error | null }) {
  if (!error) return null;
  return (
    <p role="alert" className="mt-2 text-sm text-bad">
      {error.message}
    </p>
  );
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
