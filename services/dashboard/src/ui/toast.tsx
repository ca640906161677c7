/** Short words about what was done, with an undo where there is one. */

import { CircleAlert, CircleCheck, X } from "lucide-react";
import { Toast as Radix } from "radix-ui";
import { createContext, type ReactNode, useCallback, useContext, useMemo, useState } from "react";
import { ApiError } from "../api/client";
import { Button, IconButton } from "./button";

type Entry = { id: number; kind: "good" | "bad"; text: string; undo?: (() => void) | undefined };
type Say = { done: (text: string, undo?: () => void) => void; failed: (error: unknown) => void };

const Context = createContext<Say | null>(null);
let next = 0;

export function useToast(): Say {
  const say = useContext(Context);
  if (!say) throw new Error("no toasts here");
  return say;
}

export function Toasts({ children }: { children: ReactNode }) {
  const [entries, setEntries] = useState<Entry[]>([]);
  const add = useCallback((entry: Omit<Entry, "id">) => {
    const id = next++;
    setEntries((held) => [...held.slice(-3), { ...entry, id }]);
  }, []);
  const say = useMemo<Say>(
    () => ({
      done: (text, undo) => add({ kind: "good", text, undo }),
      failed: (error) => add({ kind: "bad", text: error instanceof ApiError ? error.message : String(error) }),
    }),
    [add],
  );
  return (
    <Context.Provider value={say}>
      <Radix.Provider duration={6000}>
        {children}
        {entries.map((entry) => (
          <Radix.Root
            key={entry.id}
            type={entry.kind === "bad" ? "foreground" : "background"}
            {...(entry.kind === "bad" ? { duration: 12_000 } : {})}
            onOpenChange={(open) => !open && setEntries((held) => held.filter((each) => each.id !== entry.id))}
            className="flex items-center gap-3 rounded-lg border bg-raised p-3 shadow-xl"
          >
            {entry.kind === "bad" ? (
              <CircleAlert aria-hidden size={18} className="shrink-0 text-bad" />
            ) : (
              <CircleCheck aria-hidden size={18} className="shrink-0 text-good" />
            )}
            <Radix.Description className="min-w-0 grow text-sm break-words">{entry.text}</Radix.Description>
            {entry.undo && (
              <Radix.Action asChild altText="Undo">
                <Button small onClick={entry.undo}>
                  Undo
                </Button>
              </Radix.Action>
            )}
            <Radix.Close asChild>
              <IconButton label="Dismiss">
                <X size={14} />
              </IconButton>
            </Radix.Close>
          </Radix.Root>
        ))}
        <Radix.Viewport className="fixed right-4 bottom-4 z-[60] flex w-[min(26rem,calc(100vw-2rem))] flex-col gap-2 outline-none" />
      </Radix.Provider>
    </Context.Provider>
  );
}
