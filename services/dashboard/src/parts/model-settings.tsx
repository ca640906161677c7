import { useEffect, useState } from "react";
import type { Schemas } from "../api/client";
import { Button } from "../ui/button";
import { Field, Input, Select } from "../ui/field";
import { Section } from "../ui/panel";

/** Those that speak the OpenAI API. */
const REMOTE = [
  "openai",
  "ollama",
  "lmstudio",
  "vllm",
  "litellm",
  "groq",
  "together",
  "deepseek",
  "xai",
  "mistralai",
  "openrouter",
].map((name) => ({ name, label: name }));
const NONE = { name: "", label: "none" };
const MINILM = { name: "minilm", label: "minilm (built in)" };
const FASTEMBED = { name: "fastembed", label: "fastembed (runs here, too)" };

/** What may stand in for a model, and where the environment sets it. */
const KINDS = {
  llm: {
    title: "Language model",
    hint: "Extracts facts from texts and assigns categories. Without one, texts are stored as written.",
    providers: [NONE, ...REMOTE],
    variable: "MEMLOG_LLM",
  },
  embedder: {
    title: "Embedder",
    hint: "Makes memories searchable by meaning. The built-in one runs on this machine and needs no key.",
    providers: [MINILM, FASTEMBED, ...REMOTE],
    variable: "MEMLOG_EMBEDDER",
  },
};

type Props = {
  kind: keyof typeof KINDS;
  now: Schemas["Llm"] | Schemas["Embedder"] | null | undefined;
  /** Whether the environment sets it: then nothing else does. */
  fixed: boolean;
  busy: boolean;
  onSave: (model: object | null) => void;
};

export function ModelSettings({ kind, now, fixed, busy, onSave }: Props) {
  const { title, hint, providers, variable } = KINDS[kind];
  const provider = providers.find(({ name }) => name === bare(now?.provider ?? ""))?.name ?? now?.provider ?? "";
  const stored = {
    provider,
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
  const byItself = [NONE.name, MINILM.name].includes(draft.provider);
  const remote = !byItself && draft.provider !== FASTEMBED.name;
  return (
    <Section title={title} hint={hint}>
      {fixed && (
        <p role="note" className="mb-4 rounded-lg bg-sunken px-3 py-2 text-sm text-soft">
          The environment of the server sets it: <code className="font-mono text-xs">{variable}</code>. Change it there.
        </p>
      )}
      <form
        onSubmit={(event) => {
          event.preventDefault();
          const config = {
            model: draft.model.trim() || null,
            base_url: (remote && draft.base_url.trim()) || null,
            api_key: (remote && draft.api_key.trim()) || null,
          };
          onSave(byItself ? null : { provider: draft.provider, config });
        }}
      >
        <fieldset disabled={fixed} className="space-y-3">
          <Field
            label="Provider"
            {...(remote ? { hint: "Any other that speaks the OpenAI API: openai, and its URL" } : {})}
          >
            <Select {...set("provider")}>
              {providers.every(({ name }) => name !== stored.provider) && <option>{stored.provider}</option>}
              {providers.map(({ name, label }) => (
                <option key={name} value={name}>
                  {label}
                </option>
              ))}
            </Select>
          </Field>
          {!byItself && (
            <Field label="Model">
              <Input required {...set("model")} />
            </Field>
          )}
          {remote && (
            <>
              <Field label="Base URL" hint="An OpenAI-compatible endpoint. Leave empty for the provider's own.">
                <Input {...set("base_url")} />
              </Field>
              <Field
                label="API key"
                hint="Where to find it, never the key itself: env:OPENAI_API_KEY or file:/run/secrets/openai"
              >
                <Input {...set("api_key")} autoComplete="off" />
              </Field>
            </>
          )}
          {!fixed && (
            <div className="flex justify-end">
              <Button needs="admin" kind="primary" type="submit" busy={busy} disabled={JSON.stringify(draft) === key}>
                Save
              </Button>
            </div>
          )}
        </fieldset>
      </form>
    </Section>
  );
}

/** As Memlog compares the names of providers. */
const bare = (name: string) => name.toLowerCase().replaceAll(/[\s_-]/g, "");
