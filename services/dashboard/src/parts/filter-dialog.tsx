/** Which memories to show: of which apps, in which categories, archived ones too. */
import { useQuery } from "@tanstack/react-query";
import { SlidersHorizontal } from "lucide-react";
import { Tabs } from "radix-ui";
import { useState } from "react";
import { apps as appsQuery, categories as categoriesQuery } from "../api/queries";
import { Button } from "../ui/button";
import { Checkbox } from "../ui/checkbox";
import { Dialog } from "../ui/dialog";
import { Badge } from "../ui/panel";
import { Failure, SkeletonRows } from "../ui/states";

export type Chosen = { apps: string[]; categories: string[]; archived: boolean };

const TAB =
  "rounded-md px-3 py-1.5 text-sm font-medium text-soft data-[state=active]:bg-accent-soft data-[state=active]:text-accent";

export function FilterButton({ chosen, onChange }: { chosen: Chosen; onChange: (chosen: Chosen) => void }) {
  const [open, setOpen] = useState(false);
  const active = chosen.apps.length + chosen.categories.length + (chosen.archived ? 1 : 0);
  return (
    <>
      <Button onClick={() => setOpen(true)}>
        <SlidersHorizontal aria-hidden size={15} /> Filter
        {active > 0 && <Badge tone="accent">{active}</Badge>}
      </Button>
      {open && (
        <FilterDialog
          chosen={chosen}
          onClose={() => setOpen(false)}
          onApply={(next) => {
            onChange(next);
            setOpen(false);
          }}
        />
      )}
    </>
  );
}

type Props = { chosen: Chosen; onApply: (chosen: Chosen) => void; onClose: () => void };

function FilterDialog({ chosen, onApply, onClose }: Props) {
  const [draft, setDraft] = useState(chosen);
  const apps = useQuery(appsQuery());
  const categories = useQuery(categoriesQuery());
  return (
    <Dialog open onClose={onClose} title="Filter memories">
      <Tabs.Root defaultValue="apps">
        <Tabs.List aria-label="Filters" className="mb-3 flex gap-1">
          <Tabs.Trigger value="apps" className={TAB}>
            Apps {draft.apps.length > 0 && `(${draft.apps.length})`}
          </Tabs.Trigger>
          <Tabs.Trigger value="categories" className={TAB}>
            Categories {draft.categories.length > 0 && `(${draft.categories.length})`}
          </Tabs.Trigger>
          <Tabs.Trigger value="archived" className={TAB}>
            Archived
          </Tabs.Trigger>
        </Tabs.List>
        <Tabs.Content value="apps">
          <Choices
            what="apps"
            query={apps}
            options={apps.data?.apps ?? []}
            chosen={draft.apps}
            onChange={(ids) => setDraft({ ...draft, apps: ids })}
          />
        </Tabs.Content>
        <Tabs.Content value="categories">
          <Choices
            what="categories"
            query={categories}
            options={categories.data?.categories ?? []}
            chosen={draft.categories}
            onChange={(ids) => setDraft({ ...draft, categories: ids })}
          />
        </Tabs.Content>
        <Tabs.Content value="archived">
          <div className="flex items-center gap-3 py-2 text-sm">
            <Checkbox
              label="Show archived memories"
              checked={draft.archived}
              onChange={(archived) => setDraft({ ...draft, archived })}
            />
            Show archived memories
          </div>
        </Tabs.Content>
      </Tabs.Root>
      <div className="mt-5 flex justify-between gap-2">
        <Button kind="quiet" onClick={() => setDraft({ apps: [], categories: [], archived: false })}>
          Clear all
        </Button>
        <div className="flex gap-2">
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" onClick={() => onApply(draft)}>
            Apply
          </Button>
        </div>
      </div>
    </Dialog>
  );
}

type ChoicesProps = {
  what: string;
  query: { isPending: boolean; error: unknown; refetch: () => unknown };
  options: readonly { id: string; name: string }[];
  chosen: string[];
  onChange: (ids: string[]) => void;
};

function Choices({ what, query, options, chosen, onChange }: ChoicesProps) {
  if (query.isPending) return <SkeletonRows rows={4} />;
  if (query.error) return <Failure error={query.error} retry={query.refetch} />;
  if (options.length === 0) return <p className="py-4 text-sm text-soft">There are no {what} yet.</p>;
  const all = options.every((option) => chosen.includes(option.id));
  return (
    <div className="max-h-72 space-y-1 overflow-y-auto">
      <Choice
        name="Select all"
        checked={all || (chosen.length > 0 && "indeterminate")}
        onChange={(on) => onChange(on ? options.map((option) => option.id) : [])}
      />
      {options.map((option) => (
        <Choice
          key={option.id}
          name={option.name}
          checked={chosen.includes(option.id)}
          onChange={(on) => onChange(on ? [...chosen, option.id] : chosen.filter((id) => id !== option.id))}
        />
      ))}
    </div>
  );
}

type ChoiceProps = { name: string; checked: boolean | "indeterminate"; onChange: (on: boolean) => void };

function Choice({ name, checked, onChange }: ChoiceProps) {
  return (
    <div className="flex items-center gap-3 px-1 py-1.5 text-sm">
      <Checkbox label={name} checked={checked} onChange={onChange} />
      <span className="truncate">{name}</span>
    </div>
  );
}
