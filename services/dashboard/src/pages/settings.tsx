import { PageHead } from "../ui/panel";

export function SettingsPage() {
  return <PageHead title="Settings" />;
}
