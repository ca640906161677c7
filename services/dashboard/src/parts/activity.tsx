/** Charts of the home page: memories and reads over time by app, and categories. Each is a table as well. */
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { ChartColumn, Table } from "lucide-react";
import { lazy, type ReactNode, Suspense, useState } from "react";
import type { Schemas } from "../api/client";
import { activity, categories } from "../api/queries";
import { cx } from "../lib/cx";
import { count } from "../lib/format";
import { type Series, series, stepName, type What } from "../lib/series";
import { Button, IconButton } from "../ui/button";
import { Select } from "../ui/field";
import { failure } from "../ui/found";
import { Panel } from "../ui/panel";
import { Empty, Failure, Skeleton } from "../ui/states";
import { Dot } from "./dot";

const ActivityChart = lazy(() => import("./activity-chart").then((found) => ({ default: found.ActivityChart })));

export const RANGES = {
  "7d": { name: "7 days", step: "day", steps: 7 },
  "30d": { name: "30 days", step: "day", steps: 30 },
  "12w": { name: "12 weeks", step: "week", steps: 12 },
  "12m": { name: "12 months", step: "month", steps: 12 },
} as const;
export type Range = keyof typeof RANGES;
const SHOWN_CATEGORIES = 6;

type Props = { range: Range; onRange: (range: Range) => void; waits: boolean };

/** While it `waits` it asks for nothing: it has more to ask for and to draw than all that people came for. */
export function Activity({ range, onRange, waits }: Props) {
  const { step, steps, name } = RANGES[range];
  const found = useQuery({ ...activity(step, steps), enabled: !waits });
  const failed = failure(found);
  const charts: [What, string, string][] = [
    ["added", "Memories by app", "No memories in this period"],
    ["reads", "Reads by app", "No reads in this period"],
  ];
  return (
    <section aria-labelledby="activity" className="mt-4">
      <div className="mb-3 flex items-center justify-between gap-3">
        <h2 id="activity" className="text-base font-semibold">
          Activity
        </h2>
        <span className="w-44">
          <Select aria-label="Period" value={range} onChange={(event) => onRange(event.target.value as Range)}>
            {Object.entries(RANGES).map(([key, each]) => (
              <option key={key} value={key}>
                Last {each.name}
              </option>
            ))}
          </Select>
        </span>
      </div>
      <div className="grid grid-cols-1 gap-4 lg:grid-cols-3">
        {charts.map(([what, title, nothing]) =>
          found.data && !failed ? (
            <Chart key={what} what={what} title={title} over={name} nothing={nothing} found={found.data} />
          ) : (
            <Panel key={what} className="p-4">
              {failed ? <Failure error={failed} retry={() => void found.refetch()} /> : <Waiting />}
            </Panel>
          ),
        )}
        <Categories waits={waits} />
      </div>
    </section>
  );
}

type ChartProps = { what: What; title: string; over: string; nothing: string; found: Schemas["Activity"] };

function Chart({ what, title, over, nothing, found }: ChartProps) {
  const [table, setTable] = useState(false);
  const all = series(found, what);
  const steps = found.starts.map((start) => stepName(found.step, start));
  const label = `${title} over the last ${over}: ${all.map((each) => `${each.name} ${count(each.total)}`).join(", ")}`;
  return (
    <Framed
      title={title}
      action={
        all.length > 0 && (
          <IconButton label={table ? `${title} as a chart` : `${title} as a table`} onClick={() => setTable(!table)}>
            {table ? <ChartColumn size={16} /> : <Table size={16} />}
          </IconButton>
        )
      }
    >
      {all.length === 0 ? (
        <Empty title={nothing} />
      ) : table ? (
        <Numbers title={title} steps={steps} all={all} />
      ) : (
        <>
          <Suspense fallback={<Waiting />}>
            <ActivityChart label={label} steps={steps} all={all} />
          </Suspense>
          <ul className="mt-2 flex flex-wrap gap-x-4 gap-y-1 text-xs">
            {all.map((each) => (
              <li key={each.id} className="flex max-w-full items-center gap-1.5">
                <Dot of={each} />
                <span className="truncate text-soft">{each.name}</span>
                <span className="tabular-nums">{count(each.total)}</span>
              </li>
            ))}
          </ul>
        </>
      )}
    </Framed>
  );
}

function Numbers({ title, steps, all }: { title: string; steps: string[]; all: Series[] }) {
  const rows = steps.map((step, place) => ({ step, values: all.map((each) => each.values[place] ?? 0) })).reverse();
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached by keyboard
    <section tabIndex={0} aria-label={`${title}: numbers`} className="max-h-60 overflow-auto text-xs">
      <table className="w-full">
        <caption className="sr-only">{title}; days are those of UTC</caption>
        <thead>
          <tr>
            <th scope="col" className="sticky top-0 bg-panel py-1 pr-3 text-left font-medium">
              Time (UTC)
            </th>
            {all.map((each) => (
              <th
                key={each.id}
                scope="col"
                title={each.name}
                className="sticky top-0 max-w-32 truncate bg-panel py-1 pl-3 text-right font-medium"
              >
                {each.name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody className="tabular-nums">
          {rows
            .filter((row) => row.values.some((value) => value > 0))
            .map((row) => (
              <tr key={row.step} className="border-t">
                <th scope="row" className="py-1 pr-3 text-left font-normal whitespace-nowrap text-soft">
                  {row.step}
                </th>
                {all.map((each, place) => (
                  <td key={each.id} className="py-1 pl-3 text-right">
                    {count(row.values[place] ?? 0)}
                  </td>
                ))}
              </tr>
            ))}
        </tbody>
      </table>
    </section>
  );
}

function Categories({ waits }: { waits: boolean }) {
  const [all, setAll] = useState(false);
  const found = useQuery({ ...categories(), enabled: !waits });
  const failed = failure(found);
  const used = (found.data?.categories ?? [])
    .filter((each) => each.memories > 0)
    .sort((one, other) => other.memories - one.memories);
  const most = used[0]?.memories ?? 1;
  return (
    <Framed title="Categories">
      {found.isPending ? (
        <Waiting />
      ) : failed ? (
        <Failure error={failed} retry={() => void found.refetch()} />
      ) : used.length === 0 ? (
        <Empty title="No categories yet" />
      ) : (
        <>
          <ul
            className={cx(
              "space-y-2.5",
              all && "scroll-sign -mx-1 max-h-80 overflow-y-auto px-1 [--under:var(--panel)]",
            )}
          >
            {used.slice(0, all ? undefined : SHOWN_CATEGORIES).map((each) => (
              <li key={each.id}>
                <Link to="/memories" search={{ categories: [each.id] }} className="group block text-sm">
                  <span className="flex justify-between gap-3">
                    <span className="truncate group-hover:underline">{each.name}</span>
                    <span className="text-soft tabular-nums">
                      {count(each.memories)}
                      <span className="sr-only"> {each.memories === 1 ? "memory" : "memories"}</span>
                    </span>
                  </span>
                  <span aria-hidden className="mt-1 block h-1.5 rounded-full bg-sunken">
                    <span
                      className="block h-full rounded-full bg-accent"
                      style={{ width: `${Math.max(1, (100 * each.memories) / most)}%` }}
                    />
                  </span>
                </Link>
              </li>
            ))}
          </ul>
          {used.length > SHOWN_CATEGORIES && (
            <Button small kind="quiet" aria-expanded={all} className="mt-2 -ml-2.5" onClick={() => setAll(!all)}>
              {all ? "Show fewer" : `Show ${count(used.length - SHOWN_CATEGORIES)} more categories`}
            </Button>
          )}
        </>
      )}
    </Framed>
  );
}

function Framed({ title, action, children }: { title: string; action?: ReactNode; children: ReactNode }) {
  return (
    <Panel className="min-w-0 p-4">
      <div className="mb-2 flex min-h-8 items-center justify-between gap-2">
        <h3 className="text-sm font-medium text-soft">{title}</h3>
        {action}
      </div>
      {children}
    </Panel>
  );
}

function Waiting() {
  return (
    <div role="status" aria-label="Loading">
      <Skeleton className="h-52" />
    </div>
  );
}
