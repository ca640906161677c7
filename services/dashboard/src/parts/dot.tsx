import { type Series, STRIPE, slant } from "../lib/series";

/** How one of a chart's apps is drawn. */
export function Dot({ of: { colour, stripes } }: { of: Series }) {
  const bands = `${colour} 0 ${STRIPE / 2}px, var(--panel) ${STRIPE / 2}px ${STRIPE}px`;
  const background = stripes ? `repeating-linear-gradient(${slant(stripes)}deg, ${bands})` : colour;
  return (
    <span aria-hidden className="size-2.5 shrink-0 rounded-sm border" style={{ background, borderColor: colour }} />
  );
}
