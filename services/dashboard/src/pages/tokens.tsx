import { PageHead } from "../ui/panel";

export function TokensPage() {
  return <PageHead title="Tokens" />;
}
