/** Which memories differ between two moments, and how. */
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { Schemas } from "../api/client";
import { type ChangeFilter, changes, type DifferenceKind } from "../api/queries";
import { count } from "../lib/format";
import { Button } from "../ui/button";
import { Found } from "../ui/found";
import { Pagination } from "../ui/pagination";
import { Badge } from "../ui/panel";
import { Empty } from "../ui/states";
import { When } from "../ui/when";
import { Sides } from "./sides";

const KINDS = {
  added: { name: "Added", tone: "good" },
  deleted: { name: "Deleted", tone: "bad" },
  revised: { name: "Text", tone: "accent" },
  state: { name: "State", tone: "warn" },
  categories: { name: "Categories", tone: "plain" },
} as const satisfies Record<DifferenceKind, unknown>;
const ALL = Object.keys(KINDS) as DifferenceKind[];

type Props = {
  filter: ChangeFilter;
  onKind: (kind: DifferenceKind | undefined) => void;
  onPage: (page: number) => void;
  onSize: (size: number) => void;
};

export function Differences({ filter, ...does }: Props) {
  const found = useQuery(changes(filter));
  return (
    <Found query={found} rows={8}>
      {(shown) => <Shown found={shown} waits={found.isPlaceholderData} filter={filter} {...does} />}
    </Found>
  );
}

function Shown({
  found: { counts, items, total },
  waits,
  filter,
  onKind,
  onPage,
  onSize,
}: Props & { found: Schemas["ChangePage"]; waits: boolean }) {
  const all = ALL.reduce((sum, kind) => sum + (counts[kind] ?? 0), 0);
  const moments = { as_of: filter.since, until: filter.until ?? "now" };
  return (
    <div aria-busy={waits} className={waits ? "opacity-60" : ""}>
      <div role="toolbar" aria-label="Kinds of differences" className="flex flex-wrap gap-1.5 border-b px-4 py-2.5">
        <Kind name="All" number={all} chosen={filter.kind === undefined} onChoose={() => onKind(undefined)} />
        {ALL.map((kind) => (
          <Kind
            key={kind}
            name={KINDS[kind].name}
            number={counts[kind] ?? 0}
            chosen={filter.kind === kind}
            onChoose={() => onKind(kind)}
          />
        ))}
      </div>
      {items.length === 0 ? (
        <Empty title="No changes">Nothing changed between these two times.</Empty>
      ) : (
        <ol aria-label="Differences" className="divide-y">
          {items.map((change) => (
            <li key={change.id} className="px-4 py-3">
              <div className="mb-1.5 flex flex-wrap items-center gap-2 text-sm text-soft">
                <Badge tone={KINDS[change.kind].tone}>{KINDS[change.kind].name}</Badge>
                <span className="ml-auto min-w-0 wrap-anywhere">
                  {change.app_name} · <When time={change.changed_at} />
                </span>
              </div>
              <Sides before={change.before ?? null} after={change.after ?? null}>
                {(text) => (
                  <Link
                    to="/memory/$id"
                    params={{ id: change.id }}
                    // One that is gone shows as it was last known.
                    search={change.kind === "deleted" ? { as_of: filter.since } : moments}
                    className="block hover:underline"
                  >
                    {text}
                  </Link>
                )}
              </Sides>
            </li>
          ))}
        </ol>
      )}
      {total > 0 && <Pagination page={filter.page} size={filter.size} total={total} onPage={onPage} onSize={onSize} />}
    </div>
  );
}

type KindProps = { name: string; number: number; chosen: boolean; onChoose: () => void };

function Kind({ name, number, chosen, onChoose }: KindProps) {
  return (
    <Button small kind={chosen ? "primary" : "quiet"} aria-pressed={chosen} onClick={onChoose}>
      {name} <span className="tabular-nums">{count(number)}</span>
    </Button>
  );
}
