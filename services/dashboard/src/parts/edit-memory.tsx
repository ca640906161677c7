import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api, body } from "../api/client";
import { Button } from "../ui/button";
import { Dialog } from "../ui/dialog";
import { Field, Refusal, TextArea } from "../ui/field";
import { useToast } from "../ui/toast";

/** Gives a memory another text; the one before stays in its history, and undo brings it back as a new version. */
export function EditMemory({ id, text, onClose }: { id: string; text: string; onClose: () => void }) {
  const [draft, setDraft] = useState(text);
  const queries = useQueryClient();
  const toast = useToast();
  const save = (content: string) =>
    body(
      api.PUT("/api/v1/memories/{memory_id}", {
        params: { path: { memory_id: id } },
        body: { memory_content: content },
      }),
    );
  const revise = useMutation({
    mutationFn: () => save(draft),
    onSuccess: () => {
      const undo = () => void save(text).then(() => queries.invalidateQueries(), toast.failed);
      toast.done("Saved as a new version.", undo);
      onClose();
      void queries.invalidateQueries();
    },
  });
  return (
    <Dialog open onClose={onClose} title="Edit memory" description="Earlier versions stay in the history.">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          revise.mutate();
        }}
      >
        <Field label="Text">
          <TextArea required autoFocus value={draft} onChange={(event) => setDraft(event.target.value)} />
        </Field>
        <Refusal error={revise.error} />
        <div className="mt-4 flex justify-end gap-2">
          <Button onClick={onClose}>Cancel</Button>
          <Button
            kind="primary"
            type="submit"
            busy={revise.isPending}
            disabled={draft.trim() === "" || draft.trim() === text.trim()}
          >
            Save
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
