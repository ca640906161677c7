import { useSyncExternalStore } from "react";

const waiting = new Set<() => void>();
let minute = now();

function now(): number {
  return Math.floor(Date.now() / 60_000);
}

setInterval(() => {
  minute = now();
  for (const tell of waiting) tell();
}, 30_000);

function subscribe(tell: () => void): () => void {
  waiting.add(tell);
  return () => waiting.delete(tell);
}

/** Draws again as time goes by: "5 minutes ago" does not stay that on a page that is kept open. */
export function useMinute(): void {
  useSyncExternalStore(subscribe, () => minute);
}
