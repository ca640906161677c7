/** The drawing of a chart, in a file of its own: it comes with a library that no other page needs. */
import { Bar, BarChart, CartesianGrid, ResponsiveContainer, Tooltip, XAxis, YAxis } from "recharts";
import { count } from "../lib/format";
import { type Series, STRIPE, slant } from "../lib/series";
import { Dot } from "./dot";

type Props = { label: string; steps: string[]; all: Series[] };
const TICK = { fill: "var(--faint)", fontSize: 12 };

export function ActivityChart({ label, steps, all }: Props) {
  // By place, since names are whatever clients call themselves.
  const rows = steps.map((step, place) => ({ step, values: all.map((each) => each.values[place] ?? 0) }));
  return (
    <ResponsiveContainer width="100%" height={208}>
      <BarChart data={rows} margin={{ top: 8, right: 4, bottom: 0, left: 0 }} title={label} role="img">
        <defs>
          {all.map(
            ({ id, colour, stripes }) =>
              stripes > 0 && (
                <pattern
                  key={id}
                  id={id}
                  width={STRIPE}
                  height={STRIPE}
                  patternUnits="userSpaceOnUse"
                  patternTransform={`rotate(${slant(stripes) - 90})`}
                >
                  <rect width={STRIPE / 2} height={STRIPE} fill={colour} />
                </pattern>
              ),
          )}
        </defs>
        <CartesianGrid vertical={false} stroke="var(--line)" />
        <XAxis dataKey="step" tick={TICK} tickLine={false} stroke="var(--line)" minTickGap={24} />
        <YAxis allowDecimals={false} width="auto" tick={TICK} tickLine={false} axisLine={false} tickFormatter={count} />
        <Tooltip cursor={{ fill: "var(--sunken)" }} isAnimationActive={false} content={<Said all={all} />} />
        {all.map((each, place) => (
          <Bar
            key={each.id}
            dataKey={(row: (typeof rows)[number]) => row.values[place]}
            name={each.name}
            stackId="all"
            fill={each.stripes ? `url(#${each.id})` : each.colour}
            stroke="var(--panel)"
            isAnimationActive={false}
          />
        ))}
      </BarChart>
    </ResponsiveContainer>
  );
}

type SaidProps = {
  all: Series[];
  active?: boolean;
  payload?: readonly { payload?: { step: string; values: number[] } }[];
};

/** What the step that one points at consists of. */
function Said({ all, active, payload }: SaidProps) {
  const row = payload?.[0]?.payload;
  if (!active || !row) return null;
  return (
    <div className="rounded-lg border bg-raised p-2.5 text-xs shadow-xl">
      <p className="mb-1 font-medium">{row.step}</p>
      {all.map((each, place) =>
        row.values[place] ? (
          <p key={each.id} className="flex items-center gap-1.5">
            <Dot of={each} />
            <span className="max-w-48 truncate text-soft">{each.name}</span>
            <span className="ml-auto pl-3 tabular-nums">{count(row.values[place])}</span>
          </p>
        ) : null,
      )}
    </div>
  );
}
