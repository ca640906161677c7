import { Link } from "@tanstack/react-router";
import { useTitle } from "../lib/use-title";
import { Empty } from "../ui/states";

export function NotFound() {
  useTitle("No such page");
  return (
    <Empty title="There is no such page">
      <p>The address may be mistyped, or what stood here is gone.</p>
      <Link to="/" className="mt-3 inline-block font-medium text-accent underline">
        Go to the dashboard
      </Link>
    </Empty>
  );
}
