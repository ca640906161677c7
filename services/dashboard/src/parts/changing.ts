/** Changes of memories that people make, each with its undo where there is one. */
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { api, body } from "../api/client";
import type { State } from "../api/queries";
import { plural } from "../lib/format";
import { useToast } from "../ui/toast";

type Change = { ids: string[]; from?: State };
type Pausable = "active" | "paused" | "archived";

async function setState(ids: string[], state: Pausable): Promise<void> {
  await body(api.POST("/api/v1/memories/actions/pause", { body: { memory_ids: ids, state } }));
}

async function restore(ids: string[]): Promise<void> {
  await body(api.POST("/api/v1/memories/actions/restore", { body: ids }));
}

const DONE: Record<Pausable, string> = { active: "Active again", paused: "Paused", archived: "Archived" };

export function useChanging() {
  const queries = useQueryClient();
  const toast = useToast();
  const settled = () => queries.invalidateQueries();
  const undo = (work: () => Promise<void>) => () => void work().then(settled, toast.failed);

  const state = useMutation({
    mutationFn: ({ ids, to }: Change & { to: Pausable }) => setState(ids, to),
    onSuccess: (_, { ids, to, from }) => {
      const before = from === "paused" || from === "archived" ? from : "active";
      toast.done(
        `${DONE[to]}: ${plural(ids.length, "memory", "memories")}`,
        undo(() => setState(ids, before)),
      );
    },
    onError: toast.failed,
    onSettled: settled,
  });
  const remove = useMutation({
    mutationFn: ({ ids }: Change) => body(api.DELETE("/api/v1/memories", { body: { memory_ids: ids } })),
    onSuccess: (_, { ids }) => {
      toast.done(
        `Deleted ${plural(ids.length, "memory", "memories")}`,
        undo(() => restore(ids)),
      );
    },
    onError: toast.failed,
    onSettled: settled,
  });
  return { state, remove };
}
