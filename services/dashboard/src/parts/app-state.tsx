import { Badge } from "../ui/panel";

export function AppState({ active }: { active: boolean }) {
  return <Badge tone={active ? "good" : "warn"}>{active ? "active" : "paused"}</Badge>;
}
