import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api, body } from "../api/client";
import { Button } from "../ui/button";
import { Dialog } from "../ui/dialog";
import { Field, Refusal, TextArea } from "../ui/field";
import { useToast } from "../ui/toast";

export function CreateMemory({ open, onClose }: { open: boolean; onClose: () => void }) {
  const [text, setText] = useState("");
  const queries = useQueryClient();
  const toast = useToast();
  const create = useMutation({
    mutationFn: () => body(api.POST("/api/v1/memories", { body: { text, app: "dashboard", infer: false } })),
    onSuccess: (made) => {
      const known = typeof made === "object" && made !== null && "event" in made && made.event === "NONE";
      toast.done(known ? "You already have this memory." : "Memory created.");
      setText("");
      onClose();
      void queries.invalidateQueries();
    },
  });
  return (
    <Dialog
      open={open}
      onClose={onClose}
      title="Create memory"
      description="Stored exactly as you write it, and found by meaning."
    >
      <form
        onSubmit={(event) => {
          event.preventDefault();
          create.mutate();
        }}
      >
        <Field label="What should be remembered?">
          <TextArea
            autoFocus
            required
            value={text}
            onChange={(event) => setText(event.target.value)}
            onKeyDown={(event) => {
              if (event.key === "Enter" && (event.metaKey || event.ctrlKey)) event.currentTarget.form?.requestSubmit();
            }}
            placeholder="I prefer short answers with the code first."
          />
        </Field>
        <Refusal error={create.error} />
        <div className="mt-4 flex justify-end gap-2">
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit" busy={create.isPending} disabled={text.trim() === ""}>
            Create
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
