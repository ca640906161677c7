/** What a chart shows: a number for each step of each app. The busiest apps stand for themselves, in the colour that
 *  their icons have, the others as one. */
import type { Schemas } from "../api/client";
import { plural } from "./format";
import { hue } from "./hue";

/** `id`: apart from those of other charts, too. `stripes`: how many before it in the chart have its colour. */
export type Series = { id: string; name: string; colour: string; stripes: number; values: number[]; total: number };
export type What = "added" | "reads";

const BY_NAME = 5;
const sum = (values: number[]) => values.reduce((all, value) => all + value, 0);

export function series({ apps, starts }: Schemas["Activity"], what: What): Series[] {
  const others = apps.slice(BY_NAME);
  const rest = starts.map((_, step) => sum(others.map((app) => app[what][step] ?? 0)));
  const named = apps.slice(0, BY_NAME).map((app) => ({ ...app, colour: hue(app.name) }));
  return [
    ...named.map(({ id, name, colour, [what]: values }, place) => ({
      id: `${what}-${id}`,
      name,
      colour,
      // Of both charts of a page, so that an app looks the same in either.
      stripes: named.slice(0, place).filter((before) => before.colour === colour).length,
      values,
      total: sum(values),
    })),
    {
      id: `${what}-others`,
      name: plural(others.length, "other"),
      colour: "var(--hue-others)",
      stripes: 0,
      values: rest,
      total: sum(rest),
    },
  ].filter((each) => each.total > 0);
}

/** How far apart stripes are, in px. */
export const STRIPE = 3;
/** Which way they go, in degrees: those of the same colour differ in it. */
export const slant = (stripes: number): number => [45, 135, 0, 90][stripes - 1] ?? 0;

const DAY = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", timeZone: "UTC" });
const MONTH = new Intl.DateTimeFormat(undefined, { month: "short", year: "numeric", timeZone: "UTC" });

/** A step's name: steps begin in UTC, and so are named in it. */
export function stepName(step: Schemas["Activity"]["step"], start: number): string {
  const at = new Date(start * 1000);
  if (step === "month") return MONTH.format(at);
  return step === "week" ? `Week of ${DAY.format(at)}` : DAY.format(at);
}
