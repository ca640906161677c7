import type { ReactNode } from "react";
import { Badge } from "../ui/panel";
import { Difference } from "./difference";
import { MemoryState } from "./memory-state";

export type Side = { content: string; state: "active" | "paused" | "archived" | "deleted"; categories: string[] };

type Props = {
  before: Side | null;
  after: Side | null;
  /** What stands around the text: a link, say. */
  children?: (text: ReactNode) => ReactNode;
};

/** A memory at two moments, as one: what is new is marked, what is gone is struck through. */
export function Sides({ before, after, children = (text) => text }: Props) {
  const gone = before?.categories.filter((name) => !after?.categories.includes(name)) ?? [];
  const fresh = after?.categories.filter((name) => !before?.categories.includes(name)) ?? [];
  return (
    <div className="space-y-1.5">
      {children(<Difference before={before?.content ?? ""} after={after?.content ?? ""} />)}
      {before && after && (
        <div className="flex flex-wrap items-center gap-1.5 text-sm">
          {before.state !== after.state && (
            <>
              <MemoryState state={before.state} /> <span aria-hidden>→</span> <MemoryState state={after.state} />
            </>
          )}
          {gone.map((name) => (
            <del key={name}>
              <Badge tone="bad">{name}</Badge>
            </del>
          ))}
          {fresh.map((name) => (
            <ins key={name} className="no-underline">
              <Badge tone="good">{name}</Badge>
            </ins>
          ))}
        </div>
      )}
    </div>
  );
}
