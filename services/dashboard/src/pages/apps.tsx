import { PageHead } from "../ui/panel";

export function AppsPage() {
  return <PageHead title="Apps" />;
}
