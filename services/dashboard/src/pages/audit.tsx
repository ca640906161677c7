import { PageHead } from "../ui/panel";

export function AuditPage() {
  return <PageHead title="Audit" />;
}
