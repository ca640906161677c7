import { DropdownMenu as Radix } from "radix-ui";
import type { ReactNode } from "react";
import { type Scope, useLacking } from "../api/permissions";
import { cx } from "../lib/cx";

const PANEL = "z-50 min-w-44 rounded-lg border bg-raised p-1 shadow-xl";

/** A menu that opens from `trigger` (a button). */
export function Menu({ trigger, children }: { trigger: ReactNode; children: ReactNode }) {
  return (
    <Radix.Root modal={false}>
      <Radix.Trigger asChild>{trigger}</Radix.Trigger>
      <Radix.Portal>
        <Radix.Content className={PANEL} align="end" sideOffset={4}>
          {children}
        </Radix.Content>
      </Radix.Portal>
    </Radix.Root>
  );
}

type ItemProps = {
  onSelect?: () => void;
  icon?: ReactNode;
  danger?: boolean;
  needs?: Scope;
  asChild?: boolean;
  children: ReactNode;
};

export function MenuItem({ onSelect, icon, danger, needs, asChild, children }: ItemProps) {
  const lacking = useLacking(needs);
  return (
    <Radix.Item
      {...(onSelect ? { onSelect } : {})}
      {...(lacking ? { disabled: true, title: lacking } : {})}
      {...(asChild ? { asChild } : {})}
      className={cx(
        "flex cursor-pointer items-center gap-2.5 rounded-md px-2.5 py-1.5 text-sm outline-none data-[disabled]:opacity-50 data-[highlighted]:bg-sunken",
        danger && "text-bad",
      )}
    >
      {asChild ? (
        children
      ) : (
        <>
          {icon}
          {children}
        </>
      )}
    </Radix.Item>
  );
}

export function MenuLine() {
  return <Radix.Separator className="my-1 h-px bg-line" />;
}
