/** Which memories to show: of which apps, in which categories, archived ones too. */
import { useQuery } from "@tanstack/react-query";
import { SlidersHorizontal } from "lucide-react";
import { useState } from "react";
import { apps as appsQuery, categories as categoriesQuery } from "../api/queries";
import { Button } from "../ui/button";
import { Choice } from "../ui/checkbox";
import { Dialog } from "../ui/dialog";
import { Found } from "../ui/found";
import { Badge } from "../ui/panel";
import { Tabs } from "../ui/tabs";

export type Chosen = { apps: string[]; categories: string[]; archived: boolean };

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
      <Tabs
        label="Filters"
        tabs={[
          {
            id: "apps",
            name: `Apps ${draft.apps.length > 0 ? `(${draft.apps.length})` : ""}`,
            content: (
              <Found query={apps} rows={4}>
                {(known) => (
                  <Choices
                    what="apps"
                    options={known.apps}
                    chosen={draft.apps}
                    onChange={(ids) => setDraft({ ...draft, apps: ids })}
                  />
                )}
              </Found>
            ),
          },
          {
            id: "categories",
            name: `Categories ${draft.categories.length > 0 ? `(${draft.categories.length})` : ""}`,
            content: (
              <Found query={categories} rows={4}>
                {(known) => (
                  <Choices
                    what="categories"
                    options={known.categories}
                    chosen={draft.categories}
                    onChange={(ids) => setDraft({ ...draft, categories: ids })}
                  />
                )}
              </Found>
            ),
          },
          {
            id: "archived",
            name: "Archived",
            content: (
              <Choice
                label="Show archived memories"
                checked={draft.archived}
                onChange={(archived) => setDraft({ ...draft, archived })}
              />
            ),
          },
        ]}
      />
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
  options: readonly { id: string; name: string }[];
  chosen: string[];
  onChange: (ids: string[]) => void;
};

function Choices({ what, options, chosen, onChange }: ChoicesProps) {
  if (options.length === 0) return <p className="py-4 text-sm text-soft">There are no {what} yet.</p>;
  const all = options.every((option) => chosen.includes(option.id));
  return (
    <div className="scroll-sign max-h-76 overflow-y-auto">
      <Choice
        label="Select all"
        checked={all || (chosen.length > 0 && "indeterminate")}
        onChange={(on) => onChange(on ? options.map((option) => option.id) : [])}
      />
      {options.map((option) => (
        <Choice
          key={option.id}
          label={option.name}
          checked={chosen.includes(option.id)}
          onChange={(on) => onChange(on ? [...chosen, option.id] : chosen.filter((id) => id !== option.id))}
        />
      ))}
    </div>
  );
}
