import { PageHead } from "../ui/panel";

export function MemoriesPage() {
  return <PageHead title="Memories" />;
}
