import { PageHead } from "../ui/panel";

export function HealthPage() {
  return <PageHead title="Health" />;
}
