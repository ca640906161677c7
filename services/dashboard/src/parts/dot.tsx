/** The colour of one of a chart's apps. */
export function Dot({ colour }: { colour: string }) {
  return <span aria-hidden className="size-2.5 shrink-0 rounded-sm" style={{ background: colour }} />;
}
