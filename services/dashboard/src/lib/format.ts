/** How times and numbers are shown, everywhere. Words are English, as all others are; dates and numbers as the reader
 *  is used to. */
const RELATIVE = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const EXACT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const COUNT = new Intl.NumberFormat();
const STEPS: [number, Intl.RelativeTimeFormatUnit][] = [
  [60, "second"],
  [60, "minute"],
  [24, "hour"],
  [7, "day"],
  [4.35, "week"],
  [12, "month"],
];

/** A time of the API: epoch seconds, or ISO 8601. */
export type Time = number | string;

export function date(time: Time): Date {
  return new Date(typeof time === "number" ? time * 1000 : time);
}

export function relative(time: Time, now = Date.now()): string {
  let distance = (date(time).getTime() - now) / 1000;
  if (Math.abs(distance) < 45) return "just now";
  for (const [size, unit] of STEPS) {
    if (Math.abs(distance) < size) return RELATIVE.format(Math.round(distance), unit);
    distance /= size;
  }
  return RELATIVE.format(Math.round(distance), "year");
}

export const exact = (time: Time): string => EXACT.format(date(time));
export const count = (value: number): string => COUNT.format(value);
export const plural = (value: number, one: string, many = `${one}s`): string =>
  `${count(value)} ${value === 1 ? one : many}`;
