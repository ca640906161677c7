/** Chooses a moment of the past, or two to compare: by a slider from the first change to now, or typed. */
import { useQuery } from "@tanstack/react-query";
import { ArrowLeftRight, History } from "lucide-react";
import { useEffect, useState } from "react";
import { timeline } from "../api/queries";
import { cx } from "../lib/cx";
import { exact, relative } from "../lib/format";
import { iso, type Moments, toLocal } from "../lib/moments";
import { useDebounced } from "../lib/use-debounced";
import { Button } from "../ui/button";
import { Input } from "../ui/field";
import { Slider } from "../ui/slider";

const STEPS = 500;
const DAY_MS = 86_400_000;

/** `what` is seen of a moment, as in "your memories". */
export function TimeTravel({
  what,
  moments,
  onChange,
}: {
  what: string;
  moments: Moments;
  onChange: (moments: Moments) => void;
}) {
  const [draft, setDraft] = useState<number[] | null>(null);
  const settled = useDebounced(draft, 150);
  const line = useQuery(timeline());
  const first = line.data?.first ? Date.parse(line.data.first) : null;
  const now = Date.parse(line.data?.now ?? "");
  const step = Math.max(1, Math.ceil((now - (first ?? now)) / STEPS));
  const end = (first ?? now) + step * Math.max(1, Math.ceil((now - (first ?? now)) / step));
  const comparing = moments.until !== undefined;
  const at = (moment: string | undefined) => (moment && moment !== "now" ? Date.parse(moment) : end);
  const values = draft ?? (comparing ? [at(moments.as_of), at(moments.until)] : [at(moments.as_of)]);

  const send = ([since = end, until = end]: number[]) => {
    if (comparing) onChange({ as_of: iso(Math.min(since, now)), until: until >= now ? "now" : iso(until) });
    else onChange({ as_of: since >= now ? undefined : iso(since) });
  };
  const typed = (place: number) => (time: number) =>
    send(values.map((value, other) => (other === place ? time : value)).sort((one, other) => one - other));
  // biome-ignore lint/correctness/useExhaustiveDependencies: only that the thumb stands still is a reason
  useEffect(() => {
    if (settled) send(settled);
  }, [settled]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: once it is arrived at, or another is
  useEffect(() => setDraft(null), [moments.as_of, moments.until]);

  if (first === null || !line.data) return null;
  const compare = () =>
    onChange(
      comparing
        ? { as_of: moments.as_of }
        : { as_of: moments.as_of ?? iso(Math.max(first, now - DAY_MS)), until: "now" },
    );
  const says = (value: number) => (value >= now ? "Now" : exact(iso(value)));
  // A telephone has no room for more than the slider before what people came for.
  const untilMoved = moments.as_of ? "" : "max-sm:hidden";
  return (
    <section aria-label="Time travel" className="mb-4 rounded-xl border bg-panel px-4 py-3">
      <div className="flex flex-wrap items-end gap-x-4 gap-y-3">
        <div className="min-w-0 grow basis-72">
          <Bars changes={line.data.changes} />
          <Slider
            values={values}
            labels={comparing ? ["Since", "Until"] : ["As of"]}
            says={says}
            min={first}
            max={end}
            step={step}
            onChange={setDraft}
          />
          <p aria-hidden className="flex justify-between text-xs text-faint">
            <span>{relative(line.data.first ?? "")}</span>
            <span>Now</span>
          </p>
        </div>
        <Moment
          label={comparing ? "Since" : "As of"}
          time={Math.min(values[0] ?? now, now)}
          className={untilMoved}
          onChange={typed(0)}
        />
        {comparing && <Moment label="Until" time={Math.min(values[1] ?? now, now)} onChange={typed(1)} />}
        <div className={cx("flex gap-2", untilMoved)}>
          <Button aria-pressed={comparing} kind={comparing ? "primary" : "plain"} onClick={compare}>
            <ArrowLeftRight aria-hidden size={14} /> Compare
          </Button>
          {moments.as_of && <Button onClick={() => onChange({})}>Back to now</Button>}
        </div>
      </div>
      {moments.as_of && (
        <p role="status" className="mt-3 flex items-start gap-2 rounded-lg bg-warn-soft px-3 py-2 text-sm text-warn">
          <History aria-hidden size={16} className="mt-0.5 shrink-0" />
          {comparing
            ? `Changes between ${exact(moments.as_of)} and ${says(at(moments.until)).replace("Now", "now")}.`
            : `Viewing ${what} as of ${exact(moments.as_of)}. The past is read-only.`}
        </p>
      )}
    </section>
  );
}

/** When there were how many changes. */
function Bars({ changes }: { changes: readonly number[] }) {
  const most = Math.max(1, ...changes);
  return (
    <div aria-hidden className="flex h-8 items-end gap-px px-2.5">
      {changes.map((number, place) => (
        <span
          // biome-ignore lint/suspicious/noArrayIndexKey: a bar is its place
          key={place}
          className="grow rounded-t-sm bg-accent/40"
          // A single change is to be seen beside a thousand.
          style={{ height: `${(Math.log1p(number) / Math.log1p(most)) * 100}%` }}
        />
      ))}
    </div>
  );
}

type MomentProps = { label: string; time: number; className?: string; onChange: (time: number) => void };

/** What is typed counts once it stands still for a moment, or is left. */
function Moment({ label, time, className, onChange }: MomentProps) {
  const [text, setText] = useState(toLocal(time));
  const [edited, setEdited] = useState(false);
  const settled = useDebounced(text, 700);
  const send = () => {
    const read = Date.parse(text);
    if (!edited || Number.isNaN(read)) return;
    setEdited(false);
    onChange(read);
  };
  // biome-ignore lint/correctness/useExhaustiveDependencies: only that it stands still is a reason
  useEffect(send, [settled]);
  useEffect(() => {
    setText(toLocal(time));
    setEdited(false);
  }, [time]);
  return (
    // biome-ignore lint/a11y/noLabelWithoutControl: the control is the input
    <label className={cx("flex flex-col text-xs text-soft max-sm:grow", className)}>
      {label}
      <Input
        type="datetime-local"
        step="any"
        className="mt-1 !w-60 tabular-nums max-sm:!w-full"
        value={text}
        onChange={(event) => {
          setText(event.target.value);
          setEdited(true);
        }}
        onBlur={send}
      />
    </label>
  );
}
