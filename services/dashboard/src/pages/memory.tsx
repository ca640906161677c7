import { PageHead } from "../ui/panel";

export function MemoryPage() {
  return <PageHead title="Memory" />;
}
