import { PageHead } from "../ui/panel";

export function AccessPage() {
  return <PageHead title="Access" />;
}
