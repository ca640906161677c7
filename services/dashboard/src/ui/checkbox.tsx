import { Check, Minus } from "lucide-react";
import { Checkbox as Radix } from "radix-ui";
import type { ReactNode } from "react";

type Props = { checked: boolean | "indeterminate"; onChange: (checked: boolean) => void; label: string };

export function Checkbox({ checked, onChange, label }: Props) {
  return (
    <Radix.Root
      aria-label={label}
      checked={checked}
      onCheckedChange={(now) => onChange(now === true)}
      className="flex size-4.5 shrink-0 items-center justify-center rounded border border-faint bg-panel transition-colors data-[state=checked]:border-accent data-[state=checked]:bg-accent data-[state=indeterminate]:border-accent data-[state=indeterminate]:bg-accent"
    >
      <Radix.Indicator className="text-accent-ink">
        {checked === "indeterminate" ? <Minus size={13} strokeWidth={3} /> : <Check size={13} strokeWidth={3} />}
      </Radix.Indicator>
    </Radix.Root>
  );
}

/** A checkbox with its words beside it, which can be clicked as well; `children`, if they are not just the label. */
export function Choice({ children, ...box }: Props & { children?: ReactNode }) {
  return (
    // biome-ignore lint/a11y/noLabelWithoutControl: the control is the child
    <label className="flex cursor-pointer items-center gap-3 rounded-md px-1 py-1.5 text-sm hover:bg-sunken">
      <Checkbox {...box} />
      <span className="min-w-0 truncate">{children ?? box.label}</span>
    </label>
  );
}
