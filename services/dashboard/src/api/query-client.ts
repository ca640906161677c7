/** Where answers are kept, and what becomes of those that fail. */
import { MutationCache, QueryCache, QueryClient, type QueryKey } from "@tanstack/react-query";
import { ApiError } from "./client";
import { token } from "./session";

/** A token may stop to count at any time: whether it does, `me` says. */
function refused(error: Error, query?: { queryKey: QueryKey }): void {
  const ends = error instanceof ApiError && error.status === 401 && token() !== null;
  if (ends && query?.queryKey[0] !== "me") void client.invalidateQueries({ queryKey: ["me"] });
}

export const client: QueryClient = new QueryClient({
  queryCache: new QueryCache({ onError: refused }),
  mutationCache: new MutationCache({ onError: (error) => refused(error) }),
  defaultOptions: {
    // Memlog is here, whatever the browser thinks of its connection to elsewhere.
    mutations: { networkMode: "always" },
    queries: {
      networkMode: "always",
      staleTime: 10_000,
      // A refusal stays one however often it is asked for; only what may pass is tried again.
      retry: (failures, error) =>
        failures < 2 && error instanceof ApiError && (error.status === 0 || error.status >= 500),
    },
  },
});
