import { PageHead } from "../ui/panel";

export function DeadLettersPage() {
  return <PageHead title="Dead letters" />;
}
