/** What a chart shows: a number for each step of each app. The busiest apps have a colour of their own, the others
 *  share one. */
import type { Schemas } from "../api/client";
import { plural } from "./format";
import { hue, hues } from "./hue";

export type Series = { name: string; colour: string; values: number[]; total: number };
export type What = "added" | "reads";

const OWN_COLOURS = 5;
const sum = (values: number[]) => values.reduce((all, value) => all + value, 0);

export function series({ apps, starts }: Schemas["Activity"], what: What): Series[] {
  const others = apps.slice(OWN_COLOURS);
  const rest = starts.map((_, step) => sum(others.map((app) => app[what][step] ?? 0)));
  const taken = new Set<string>();
  return [
    ...apps.slice(0, OWN_COLOURS).map((app) => ({
      name: app.name,
      colour: free(hue(app.name), taken),
      values: app[what],
      total: sum(app[what]),
    })),
    { name: plural(others.length, "other"), colour: "var(--hue-others)", values: rest, total: sum(rest) },
  ].filter((each) => each.total > 0);
}

/** The colour that an app has elsewhere, too, unless another one of the chart has it. */
function free(wanted: string, taken: Set<string>): string {
  const colour = [wanted, ...hues].find((each) => !taken.has(each)) ?? wanted;
  taken.add(colour);
  return colour;
}

const DAY = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", timeZone: "UTC" });
const MONTH = new Intl.DateTimeFormat(undefined, { month: "short", year: "numeric", timeZone: "UTC" });

/** A step's name: steps begin in UTC, and so are named in it. */
export function stepName(step: Schemas["Activity"]["step"], start: number): string {
  const at = new Date(start * 1000);
  if (step === "month") return MONTH.format(at);
  return step === "week" ? `Week of ${DAY.format(at)}` : DAY.format(at);
}
