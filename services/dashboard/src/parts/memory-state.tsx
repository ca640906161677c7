import type { State } from "../api/queries";
import { Badge } from "../ui/panel";

const TONES = { paused: "warn", archived: "plain", deleted: "bad" } as const;

export function MemoryState({ state }: { state: State }) {
  // What is usual is said quietly, so that what is not stands out.
  if (state === "active") return <span className="text-xs text-soft">active</span>;
  return <Badge tone={TONES[state]}>{state}</Badge>;
}
