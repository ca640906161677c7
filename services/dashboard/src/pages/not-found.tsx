import { Link } from "@tanstack/react-router";
import { Empty } from "../ui/states";

export function NotFound() {
  return (
    <Empty title="There is no such page">
      The address may be mistyped, or what stood here is gone.{" "}
      <Link to="/" className="font-medium text-accent underline">
        Go to the dashboard
      </Link>
    </Empty>
  );
}
