import type { State } from "../api/queries";
import { Badge } from "../ui/panel";

const TONES = { active: "good", paused: "warn", archived: "plain", deleted: "bad" } as const;

export function MemoryState({ state }: { state: State }) {
  return <Badge tone={TONES[state]}>{state}</Badge>;
}
