import { Tabs as Radix } from "radix-ui";
import type { ReactNode } from "react";

type Tab = { id: string; name: ReactNode; content: ReactNode };

/** The first one is open at first. */
export function Tabs({ label, tabs }: { label: string; tabs: Tab[] }) {
  return (
    <Radix.Root defaultValue={tabs[0]?.id ?? ""}>
      <Radix.List aria-label={label} className="mb-3 flex gap-1 overflow-x-auto">
        {tabs.map(({ id, name }) => (
          <Radix.Trigger
            key={id}
            value={id}
            className="rounded-lg px-3 py-1.5 text-sm font-medium whitespace-nowrap text-soft transition-colors hover:text-ink data-[state=active]:bg-accent-soft data-[state=active]:text-accent"
          >
            {name}
          </Radix.Trigger>
        ))}
      </Radix.List>
      {tabs.map(({ id, content }) => (
        <Radix.Content key={id} value={id}>
          {content}
        </Radix.Content>
      ))}
    </Radix.Root>
  );
}
