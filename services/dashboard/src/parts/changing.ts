/** Changes of memories that people make, each with its undo where there is one. */
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { api, body } from "../api/client";
import type { State } from "../api/queries";
import { plural } from "../lib/format";
import { useToast } from "../ui/toast";

type Change = { memories: readonly { id: string; state: State }[] };
type Pausable = "active" | "paused" | "archived";
const PAUSABLE: readonly Pausable[] = ["active", "paused", "archived"];
const ids = ({ memories }: Change) => memories.map((memory) => memory.id);

async function setState(ids: string[], state: Pausable): Promise<void> {
  await body(api.POST("/api/v1/memories/actions/pause", { body: { memory_ids: ids, state } }));
}

/** Each into the state that it says. */
async function setBack({ memories }: Change): Promise<void> {
  for (const state of PAUSABLE) {
    const those = ids({ memories: memories.filter((memory) => memory.state === state) });
    if (those.length > 0) await setState(those, state);
  }
}

async function restore(ids: string[]): Promise<void> {
  await body(api.POST("/api/v1/memories/actions/restore", { body: ids }));
}

const DONE: Record<Pausable, string> = { active: "reactivated", paused: "paused", archived: "archived" };

export function useChanging() {
  const queries = useQueryClient();
  const toast = useToast();
  const settled = () => queries.invalidateQueries();
  const undo = (work: () => Promise<void>) => () => void work().then(settled, toast.failed);

  const state = useMutation({
    mutationFn: ({ to, ...change }: Change & { to: Pausable }) => setState(ids(change), to),
    onSuccess: (_, { to, ...change }) => {
      toast.done(
        `${plural(change.memories.length, "memory", "memories")} ${DONE[to]}`,
        undo(() => setBack(change)),
      );
    },
    onError: toast.failed,
    onSettled: settled,
  });
  const remove = useMutation({
    mutationFn: (change: Change) => body(api.DELETE("/api/v1/memories", { body: { memory_ids: ids(change) } })),
    onSuccess: (_, change) => {
      toast.done(
        `${plural(change.memories.length, "memory", "memories")} deleted`,
        undo(() => restore(ids(change))),
      );
    },
    onError: toast.failed,
    onSettled: settled,
  });
  return { state, remove };
}
