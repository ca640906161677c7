/** What stands where data will be, is not, or could not be had. */
import { CircleAlert, Inbox } from "lucide-react";
import type { ReactNode } from "react";
import { ApiError } from "../api/client";
import { cx } from "../lib/cx";
import { Button } from "./button";

export function Skeleton({ className }: { className?: string }) {
  return <div aria-hidden className={cx("animate-pulse rounded-md bg-line", className)} />;
}

export function SkeletonRows({ rows = 5 }: { rows?: number }) {
  return (
    <div role="status" aria-label="Loading" className="space-y-3 p-4">
      {Array.from({ length: rows }, (_, row) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: they are all alike
        <Skeleton key={row} className="h-6" />
      ))}
    </div>
  );
}

export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="flex flex-col items-center gap-2 px-4 py-14 text-center">
      <Inbox aria-hidden size={28} className="text-faint" />
      <p className="font-medium">{title}</p>
      {children && <div className="max-w-md text-sm text-soft">{children}</div>}
    </div>
  );
}

type FailureProps = { error: unknown; retry?: () => void; back?: ReactNode };

/** An error that stands in for a part of a page, with what to do: to try again, or the way `back` where that cannot
 * help. */
export function Failure({ error, retry, back }: FailureProps) {
  const known = error instanceof ApiError ? error : null;
  return (
    <div role="alert" className="flex flex-col items-center gap-2 px-4 py-12 text-center">
      <CircleAlert aria-hidden size={28} className="text-bad" />
      <p className="font-medium">{title(known)}</p>
      <p className="max-w-md text-sm break-words text-soft">{known ? known.message : String(error)}</p>
      {known?.status === 403 && (
        <p className="max-w-md text-sm text-soft">
          Sign in with a different token: one of yours for the app “dashboard”, or the operator's.
        </p>
      )}
      {known?.requestId && known.status >= 500 && (
        <p className="font-mono text-xs text-faint">Request {known.requestId}</p>
      )}
      {known?.final
        ? back
        : retry && (
            <Button small onClick={retry} className="mt-2">
              Try again
            </Button>
          )}
    </div>
  );
}

/** What was had before is shown, since there is nothing newer. */
export function Outdated({ error, retry, alone }: { error: Error; retry: () => void; alone?: boolean | undefined }) {
  return (
    <div
      role="status"
      className={cx(
        "flex flex-wrap items-center gap-x-3 gap-y-1 rounded-lg border bg-warn-soft px-3 py-2 text-sm text-warn",
        alone ? "mb-4" : "m-3",
      )}
    >
      <p className="min-w-0 grow break-words">Not up to date: {error.message}</p>
      <Button small onClick={retry}>
        Try again
      </Button>
    </div>
  );
}

function title(error: ApiError | null): string {
  if (!error) return "Something went wrong";
  if (error.status === 0) return "No connection to Memlog";
  if (error.status === 401) return "Sign-in required";
  if (error.status === 403) return "You do not have permission";
  if (error.status === 404) return "Not found";
  if (error.status === 410) return "No longer there";
  return error.status >= 500 ? "Memlog is having trouble" : "That did not work";
}
