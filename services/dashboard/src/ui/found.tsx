import type { UseQueryResult } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { Panel } from "./panel";
import { Failure, SkeletonRows } from "./states";

type Props<T> = {
  query: UseQueryResult<T>;
  /** How many rows are to be expected. */
  rows?: number;
  /** Whether what stands in needs a panel of its own. */
  panel?: boolean;
  children: (data: T) => ReactNode;
};

/** What a query found; until then rows that stand in for it, and instead of it why there is nothing. */
export function Found<T>({ query, rows, panel, children }: Props<T>) {
  if (query.data !== undefined) return children(query.data);
  const instead = query.error ? (
    <Failure error={query.error} retry={() => void query.refetch()} />
  ) : (
    <SkeletonRows {...(rows ? { rows } : {})} />
  );
  return panel ? <Panel>{instead}</Panel> : instead;
}
