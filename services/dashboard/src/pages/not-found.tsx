import { Link } from "@tanstack/react-router";
import { useTitle } from "../lib/use-title";
import { Empty } from "../ui/states";

export function NotFound() {
  useTitle("Page not found");
  return (
    <Empty title="Page not found">
      <p>The address may be mistyped, or the page no longer exists.</p>
      <Link to="/" className="mt-3 inline-block font-medium text-accent underline">
        Go to the dashboard
      </Link>
    </Empty>
  );
}
