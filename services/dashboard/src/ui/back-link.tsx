import { Link } from "@tanstack/react-router";
import { ArrowLeft } from "lucide-react";

/** From one thing to the page of all of its kind. */
export function BackLink({
  to,
  search = {},
  children,
}: {
  to: "/memories" | "/apps";
  search?: { as_of?: string };
  children: string;
}) {
  return (
    <Link to={to} search={search} className="mb-4 inline-flex items-center gap-1.5 text-sm text-soft hover:text-ink">
      <ArrowLeft aria-hidden size={15} /> {children}
    </Link>
  );
}
