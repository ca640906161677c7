import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { me } from "../api/operating";

/** What to know of a page that is about who may do what, while nobody has to prove who they are. */
export function OpenToAll({ children }: { children: ReactNode }) {
  const who = useQuery(me());
  if (who.data?.authenticated !== false) return null;
  return (
    <p role="note" className="mb-4 rounded-lg border bg-warn-soft px-3 py-2 text-sm text-warn">
      Authentication is off here: {children} <code className="font-mono text-xs">MEMLOG_AUTH=token memlog up</code>{" "}
      turns it on.
    </p>
  );
}
