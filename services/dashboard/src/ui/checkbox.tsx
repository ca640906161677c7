import { Check, Minus } from "lucide-react";
import { Checkbox as Radix } from "radix-ui";

type Props = { checked: boolean | "indeterminate"; onChange: (checked: boolean) => void; label: string };

export function Checkbox({ checked, onChange, label }: Props) {
  return (
    <Radix.Root
      aria-label={label}
      checked={checked}
      onCheckedChange={(now) => onChange(now === true)}
      className="flex size-4.5 shrink-0 items-center justify-center rounded border border-faint bg-panel data-[state=checked]:border-accent data-[state=checked]:bg-accent data-[state=indeterminate]:border-accent data-[state=indeterminate]:bg-accent"
    >
      <Radix.Indicator className="text-accent-ink">
        {checked === "indeterminate" ? <Minus size={13} strokeWidth={3} /> : <Check size={13} strokeWidth={3} />}
      </Radix.Indicator>
    </Radix.Root>
  );
}
