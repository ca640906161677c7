import { PageHead } from "../ui/panel";

export function AppPage() {
  return <PageHead title="App" />;
}
