import { PageHead } from "../ui/panel";

export function ProjectionsPage() {
  return <PageHead title="Projections" />;
}
