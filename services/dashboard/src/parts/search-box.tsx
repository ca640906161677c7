import { Search } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import { useDebounced } from "../lib/use-debounced";
import { Input } from "../ui/field";

/** What is typed counts once it stands still for a moment, or is left. */
export function SearchBox({
  label,
  value,
  onChange,
}: {
  label: string;
  value: string;
  onChange: (text: string) => void;
}) {
  const [draft, setDraft] = useState(value);
  const settled = useDebounced(draft, 250);
  const sent = useRef(value);
  const send = (text: string) => {
    if (text === sent.current) return;
    sent.current = text;
    onChange(text);
  };
  // biome-ignore lint/correctness/useExhaustiveDependencies: only that it stands still is a reason
  useEffect(() => send(settled), [settled]);
  // What comes back from here is not new: by now more may have been typed.
  useEffect(() => {
    if (value === sent.current) return;
    sent.current = value;
    setDraft(value);
  }, [value]);
  return (
    <div className="relative w-64 max-sm:grow max-sm:basis-48">
      <Search aria-hidden size={15} className="absolute top-2.5 left-3 text-faint" />
      <Input
        type="search"
        aria-label={label}
        placeholder={label}
        className="pl-9"
        value={draft}
        onChange={(event) => setDraft(event.target.value)}
        onBlur={() => send(draft)}
      />
    </div>
  );
}
