import { PageHead } from "../ui/panel";

export function EventsPage() {
  return <PageHead title="Events" />;
}
