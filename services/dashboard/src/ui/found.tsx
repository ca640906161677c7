import type { ReactNode } from "react";
import { ApiError } from "../api/client";
import { Panel } from "./panel";
import { Failure, Outdated, SkeletonRows } from "./states";

type Props<T> = {
  query: { data: T | undefined; error: Error | null; refetch: () => unknown };
  /** How many rows are to be expected. */
  rows?: number;
  /** Whether what stands in needs a panel of its own. */
  panel?: boolean;
  /** Where to go when it is not there. */
  back?: ReactNode;
  children: (data: T) => ReactNode;
};

/** What a query found; until then rows that stand in for it, and instead of it why there is nothing. */
export function Found<T>({ query, rows, panel, back, children }: Props<T>) {
  const failed = failure(query);
  const retry = () => void query.refetch();
  if (query.data === undefined || failed) {
    const instead = failed ? (
      <Failure error={failed} retry={retry} back={back} />
    ) : (
      <SkeletonRows {...(rows ? { rows } : {})} />
    );
    return panel ? <Panel>{instead}</Panel> : instead;
  }
  return (
    <>
      {query.error && <Outdated error={query.error} retry={retry} alone={panel} />}
      {children(query.data)}
    </>
  );
}

/** Why nothing is to be shown. What was had before stays where Memlog does not answer, or cannot now; not where it says
 * that it is not there, or not for whoever asks. */
export function failure({ data, error }: { data?: unknown; error: Error | null }): Error | null {
  return data === undefined || (error instanceof ApiError && error.final) ? error : null;
}
