import { date, exact, relative, type Time } from "../lib/format";
import { useMinute } from "../lib/use-minute";

/** A time, in words; the exact one on hovering. */
export function When({ time }: { time: Time }) {
  useMinute();
  return (
    <time dateTime={date(time).toISOString()} title={exact(time)} className="whitespace-nowrap">
      {relative(time)}
    </time>
  );
}
