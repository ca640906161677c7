import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { api, body, type Schemas } from "../api/client";
import { configuration } from "../api/operating";
import { Backup } from "../parts/backup";
import { ModelSettings } from "../parts/model-settings";
import { Button } from "../ui/button";
import { Confirm } from "../ui/dialog";
import { TextArea } from "../ui/field";
import { Found } from "../ui/found";
import { PageHead, Panel, Section } from "../ui/panel";
import { Tabs } from "../ui/tabs";
import { useToast } from "../ui/toast";

type Configuration = Schemas["Configuration"];

export function SettingsPage() {
  const found = useQuery(configuration());
  const queries = useQueryClient();
  const toast = useToast();
  const [resetting, setResetting] = useState(false);
  const [rebuilding, setRebuilding] = useState<object | null>(null);
  const save = useMutation({
    mutationFn: ({ change, confirm }: { change: object; confirm?: boolean }) =>
      body(
        api.PATCH("/api/v1/config", {
          body: change as Schemas["ConfigurationChange"],
          params: { query: confirm ? { confirm: "rebuild" } : {} },
        }),
      ),
    onSuccess: () => toast.done("Saved."),
    onError: (error, { change }) => {
      if ("code" in error && error.code === "rebuild_not_confirmed") setRebuilding(change);
      else toast.failed(error);
    },
    onSettled: () => queries.invalidateQueries({ queryKey: ["configuration"] }),
  });
  const reset = useMutation({
    mutationFn: () => body(api.POST("/api/v1/config/reset", {})),
    onSuccess: () => toast.done("Settings reset to their defaults."),
    onError: toast.failed,
    onSettled: () => queries.invalidateQueries({ queryKey: ["configuration"] }),
  });
  return (
    <>
      <PageHead title="Settings" hint="Environment variables take precedence over what you set here.">
        <Button needs="admin" onClick={() => setResetting(true)}>
          Reset
        </Button>
      </PageHead>
      <Found query={found} panel>
        {({ configuration: known, fixed }) => (
          <Tabs
            label="Editor"
            tabs={[
              {
                id: "form",
                name: "Form",
                content: (
                  <Form now={known} fixed={fixed} busy={save.isPending} onSave={(change) => save.mutate({ change })} />
                ),
              },
              {
                id: "json",
                name: "JSON",
                content: (
                  <JsonEditor
                    now={known}
                    fixed={fixed}
                    busy={save.isPending}
                    onSave={(change) => save.mutate({ change })}
                  />
                ),
              },
            ]}
          />
        )}
      </Found>
      <Backup />
      <Confirm
        open={resetting}
        title="Reset all settings?"
        description="Custom instructions and models return to their defaults. Your memories are not affected."
        confirm="Reset"
        onClose={() => setResetting(false)}
        onConfirm={() => reset.mutate()}
      />
      <Confirm
        open={rebuilding !== null}
        title="Rebuild the index?"
        description="A different embedder needs a new index. It is built in the background, which can take a while; search keeps working in the meantime."
        confirm="Change the embedder"
        onClose={() => setRebuilding(null)}
        onConfirm={() => rebuilding && save.mutate({ change: rebuilding, confirm: true })}
      />
    </>
  );
}

type EditorProps = {
  now: Configuration;
  /** The sections that the environment sets. */
  fixed: readonly string[];
  busy: boolean;
  onSave: (change: object) => void;
};

function Form({ now, fixed, busy, onSave }: EditorProps) {
  return (
    <div className="grid grid-cols-1 gap-4 lg:grid-cols-2">
      <div className="lg:col-span-2">
        <Instructions now={now} fixed={fixed} busy={busy} onSave={onSave} />
      </div>
      <ModelSettings
        kind="llm"
        now={now.mem0?.llm}
        fixed={fixed.includes("mem0.llm")}
        busy={busy}
        onSave={(model) => onSave({ mem0: { llm: model } })}
      />
      <ModelSettings
        kind="embedder"
        now={now.mem0?.embedder}
        fixed={fixed.includes("mem0.embedder")}
        busy={busy}
        onSave={(model) => onSave({ mem0: { embedder: model } })}
      />
    </div>
  );
}

function Instructions({ now, busy, onSave }: EditorProps) {
  const stored = now.openmemory?.custom_instructions ?? "";
  const [draft, setDraft] = useState(stored);
  useEffect(() => setDraft(stored), [stored]);
  return (
    <Section
      title="Custom instructions"
      hint="Extra guidance for the language model when it extracts facts: what to keep, what to leave out."
    >
      <form
        onSubmit={(event) => {
          event.preventDefault();
          onSave({ openmemory: { custom_instructions: draft.trim() || null } });
        }}
      >
        <TextArea aria-label="Custom instructions" value={draft} onChange={(event) => setDraft(event.target.value)} />
        <div className="mt-3 flex justify-end">
          <Button needs="admin" kind="primary" type="submit" busy={busy} disabled={draft === stored}>
            Save
          </Button>
        </div>
      </form>
    </Section>
  );
}

function JsonEditor({ now, fixed, busy, onSave }: EditorProps) {
  const stored = JSON.stringify(now, null, 2);
  const [draft, setDraft] = useState(stored);
  const [wrong, setWrong] = useState<string | null>(null);
  useEffect(() => setDraft(stored), [stored]);
  return (
    <Panel className="p-5">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          try {
            const change: unknown = JSON.parse(draft);
            if (typeof change !== "object" || change === null) throw new Error("an object is expected");
            setWrong(null);
            onSave(change);
          } catch (error) {
            setWrong(`This is not valid JSON: ${(error as Error).message}`);
          }
        }}
      >
        <TextArea
          aria-label="Settings as JSON"
          aria-invalid={wrong !== null}
          spellCheck={false}
          className="min-h-96 font-mono text-xs"
          value={draft}
          onChange={(event) => setDraft(event.target.value)}
        />
        {wrong && (
          <p role="alert" className="mt-2 text-sm text-bad">
            {wrong}
          </p>
        )}
        <div className="mt-3 flex flex-wrap items-center justify-between gap-3">
          <p className="text-xs text-faint">
            {fixed.length > 0 && `Set by the environment, and not changed here: ${fixed.join(", ")}`}
          </p>
          <Button needs="admin" kind="primary" type="submit" busy={busy} disabled={draft === stored}>
            Save
          </Button>
        </div>
      </form>
    </Panel>
  );
}
