/** Moments of the past: in the address as ISO 8601 (UTC), in inputs as local time. */

/** In the form of `<input type="datetime-local">`, to the second. */
export function toLocal(time: number): string {
  const date = new Date(time);
  return new Date(time - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}

export const iso = (time: number): string => new Date(time).toISOString();

/** Two moments of a comparison: what differs between `as_of` and `until`, which may be "now". Without `until`, what
 * was known at one moment; without either, what is known now. */
export type Moments = { as_of?: string | undefined; until?: string | undefined };

/** As the API takes it: now is said by saying nothing. */
export const untilThen = (until: string | undefined): string | undefined => (until === "now" ? undefined : until);
