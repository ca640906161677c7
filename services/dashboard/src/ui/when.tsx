import { date, exact, relative, type Time } from "../lib/format";

/** A time, in words; the exact one on hovering. */
export function When({ time }: { time: Time }) {
  return (
    <time dateTime={date(time).toISOString()} title={exact(time)} className="whitespace-nowrap">
      {relative(time)}
    </time>
  );
}
