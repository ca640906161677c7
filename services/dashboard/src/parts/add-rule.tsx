import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api, body } from "../api/client";
import { apps, categories } from "../api/queries";
import { Button } from "../ui/button";
import { Dialog } from "../ui/dialog";
import { Field, Input, Refusal, Select } from "../ui/field";
import { useToast } from "../ui/toast";

type Kind = "everything" | "category" | "memory";
/** `memory`: the one that the rule is about, else one is asked what it applies to. */
type Props = { app?: string; memory?: { id: string; text: string }; onClose: () => void };

export function AddRule({ app = "", memory: given, onClose }: Props) {
  const known = useQuery(apps());
  const others = (known.data?.apps ?? []).filter((each) => each.name !== "dashboard");
  const [picked, setPicked] = useState(app);
  const [effect, setEffect] = useState<"allow" | "deny">("deny");
  const [kind, setKind] = useState<Kind>(given ? "memory" : "category");
  const [category, setCategory] = useState("");
  const [memory, setMemory] = useState(given?.id ?? "");
  const names = useQuery(categories());
  const queries = useQueryClient();
  const toast = useToast();
  const appId = picked || (others[0]?.id ?? "");
  const add = useMutation({
    mutationFn: () =>
      body(
        api.PUT("/api/v1/access-rules", {
          body: {
            app_id: appId,
            effect,
            category: kind === "category" ? category : null,
            memory_id: kind === "memory" ? memory.trim() : null,
          },
        }),
      ),
    onSuccess: () => {
      toast.done("Saved. It applies to every read from now on.");
      onClose();
    },
    onSettled: () => queries.invalidateQueries({ queryKey: ["access"] }),
  });
  const complete =
    appId !== "" && (kind === "everything" || (kind === "category" ? category !== "" : memory.trim() !== ""));
  return (
    <Dialog
      open
      onClose={onClose}
      title={given ? "Limit access to this memory" : "Add a rule"}
      description="If the app already has a rule for the same thing, the new one replaces it."
    >
      <form
        className="space-y-4"
        onSubmit={(event) => {
          event.preventDefault();
          add.mutate();
        }}
      >
        {given && <p className="line-clamp-3 rounded-lg bg-sunken px-3 py-2 text-sm break-words">{given.text}</p>}
        <Field
          label="App"
          {...(known.data && others.length === 0
            ? { hint: "None yet. One appears once it first reads or writes." }
            : {})}
        >
          <Select value={appId} onChange={(event) => setPicked(event.target.value)}>
            {others.map((each) => (
              <option key={each.id} value={each.id}>
                {each.name}
              </option>
            ))}
          </Select>
        </Field>
        <Field label="Effect">
          <Select value={effect} onChange={(event) => setEffect(event.target.value as "allow" | "deny")}>
            <option value="deny">may not read</option>
            <option value="allow">may read</option>
          </Select>
        </Field>
        {!given && (
          <Field label="Applies to">
            <Select value={kind} onChange={(event) => setKind(event.target.value as Kind)}>
              <option value="category">memories of a category</option>
              <option value="memory">one memory</option>
              <option value="everything">everything</option>
            </Select>
          </Field>
        )}
        {kind === "category" && (
          <Field label="Category">
            <Select value={category} onChange={(event) => setCategory(event.target.value)}>
              <option value="">Choose one</option>
              {names.data?.categories.map((each) => (
                <option key={each.id} value={each.name}>
                  {each.name}
                </option>
              ))}
            </Select>
          </Field>
        )}
        {!given && kind === "memory" && (
          <Field label="Memory" hint="Its ID. “Limit access…” in the menu of a memory fills it in by itself">
            <Input value={memory} onChange={(event) => setMemory(event.target.value)} />
          </Field>
        )}
        <Refusal error={add.error} />
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit" busy={add.isPending} disabled={!complete}>
            Add
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
