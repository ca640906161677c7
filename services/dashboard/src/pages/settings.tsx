import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useEffect, useState } from "react";
import { api, body, type Schemas } from "../api/client";
import { configuration } from "../api/queries";
import { Backup } from "../parts/backup";
import { Button } from "../ui/button";
import { Confirm } from "../ui/dialog";
import { Field, Input, TextArea } from "../ui/field";
import { Found } from "../ui/found";
import { PageHead, Panel } from "../ui/panel";
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
        {(known) => (
          <Tabs
            label="Editor"
            tabs={[
              {
                id: "form",
                name: "Form",
                content: <Form now={known} busy={save.isPending} onSave={(change) => save.mutate({ change })} />,
              },
              {
                id: "json",
                name: "JSON",
                content: <JsonEditor now={known} busy={save.isPending} onSave={(change) => save.mutate({ change })} />,
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

type EditorProps = { now: Configuration; busy: boolean; onSave: (change: object) => void };

function Form({ now, busy, onSave }: EditorProps) {
  return (
    <div className="grid grid-cols-1 gap-4 lg:grid-cols-2">
      <div className="lg:col-span-2">
        <Instructions now={now} busy={busy} onSave={onSave} />
      </div>
      <Model
        title="Language model"
        hint="Extracts facts from texts and assigns categories. Without one, texts are stored as written."
        providers="openai, ollama, or any OpenAI-compatible provider. Leave empty for none."
        now={now.mem0?.llm}
        busy={busy}
        onSave={(model) => onSave({ mem0: { llm: model } })}
      />
      <Model
        title="Embedder"
        hint="Makes memories searchable by meaning. The built-in one runs on this machine and needs no key."
        providers="minilm (built in), fastembed, or openai"
        now={now.mem0?.embedder}
        busy={busy}
        onSave={(model) => onSave({ mem0: { embedder: model } })}
      />
    </div>
  );
}

function Section({ title, hint, children }: { title: string; hint: string; children: ReactNode }) {
  return (
    <Panel className="p-5">
      <h2 className="text-base font-semibold">{title}</h2>
      <p className="mt-1 mb-4 text-sm text-soft">{hint}</p>
      {children}
    </Panel>
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

type Stored = Schemas["Llm"] | Schemas["Embedder"] | null | undefined;
type ModelProps = {
  title: string;
  hint: string;
  providers: string;
  now: Stored;
  busy: boolean;
  onSave: (model: object | null) => void;
};

function Model({ title, hint, providers, now, busy, onSave }: ModelProps) {
  const stored = {
    provider: now?.provider ?? "",
    model: now?.config.model ?? "",
    base_url: now?.config.base_url ?? "",
    api_key: now?.config.api_key ?? "",
  };
  const key = JSON.stringify(stored);
  const [draft, setDraft] = useState(stored);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the values are what counts
  useEffect(() => setDraft(stored), [key]);
  const set = (name: keyof typeof draft) => ({
    value: draft[name],
    onChange: (event: { target: { value: string } }) => setDraft({ ...draft, [name]: event.target.value }),
  });
  return (
    <Section title={title} hint={hint}>
      <form
        className="space-y-3"
        onSubmit={(event) => {
          event.preventDefault();
          const { provider, ...config } = draft;
          const given = Object.fromEntries(Object.entries(config).map(([name, value]) => [name, value.trim() || null]));
          onSave(provider.trim() === "" ? null : { provider: provider.trim(), config: given });
        }}
      >
        <Field label="Provider" hint={providers}>
          <Input {...set("provider")} />
        </Field>
        <Field label="Model">
          <Input {...set("model")} />
        </Field>
        <Field label="Base URL" hint="An OpenAI-compatible endpoint. Leave empty for the provider's own.">
          <Input {...set("base_url")} />
        </Field>
        <Field
          label="API key"
          hint="Where to find it, never the key itself: env:OPENAI_API_KEY or file:/run/secrets/openai"
        >
          <Input {...set("api_key")} autoComplete="off" />
        </Field>
        <div className="flex justify-end">
          <Button needs="admin" kind="primary" type="submit" busy={busy} disabled={JSON.stringify(draft) === key}>
            Save
          </Button>
        </div>
      </form>
    </Section>
  );
}

function JsonEditor({ now, busy, onSave }: EditorProps) {
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
        <div className="mt-3 flex justify-end">
          <Button needs="admin" kind="primary" type="submit" busy={busy} disabled={draft === stored}>
            Save
          </Button>
        </div>
      </form>
    </Panel>
  );
}
