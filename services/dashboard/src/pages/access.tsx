import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { Plus, Trash2 } from "lucide-react";
import { useState } from "react";
import { api, body, type Schemas } from "../api/client";
import { useLacking } from "../api/permissions";
import { accessRules, apps, categories, defaultAccess } from "../api/queries";
import { AccessPreview } from "../parts/access-preview";
import { AppIcon } from "../parts/app-icon";
import { OpenToAll } from "../parts/open-to-all";
import { Button, IconButton } from "../ui/button";
import { Dialog } from "../ui/dialog";
import { Field, Input, Refusal, Select } from "../ui/field";
import { Found } from "../ui/found";
import { Pagination } from "../ui/pagination";
import { Badge, PageHead, Panel, PanelHead } from "../ui/panel";
import { Empty } from "../ui/states";
import { useToast } from "../ui/toast";
import { When } from "../ui/when";

const SIZE = 20;

export function AccessPage() {
  const { app = "" } = useSearch({ from: "/access" });
  const navigate = useNavigate({ from: "/access" });
  const [page, setPage] = useState(1);
  const [adding, setAdding] = useState(false);
  const all = useQuery(apps());
  const found = useQuery(accessRules(app, page, SIZE));
  const queries = useQueryClient();
  const toast = useToast();
  const set = (rule: Schemas["AccessRule"]) =>
    body(
      api.PUT("/api/v1/access-rules", {
        body: {
          app_id: rule.app_id,
          effect: rule.effect,
          memory_id: rule.memory_id ?? null,
          category: rule.category ?? null,
        },
      }),
    );
  const remove = useMutation({
    mutationFn: (rule: Schemas["AccessRule"]) =>
      body(api.DELETE("/api/v1/access-rules/{rule_id}", { params: { path: { rule_id: rule.id } } })),
    onSuccess: (_, rule) =>
      toast.done("Rule removed.", () => void set(rule).then(() => queries.invalidateQueries(), toast.failed)),
    onError: toast.failed,
    onSettled: () => queries.invalidateQueries({ queryKey: ["access"] }),
  });
  return (
    <>
      <PageHead
        title="Access rules"
        hint="The most specific rule wins: memory, then category, then everything, then the default. On a tie, deny wins."
      >
        <span className="w-48 max-sm:grow max-sm:basis-40">
          <Select
            aria-label="App"
            value={app}
            onChange={(event) => {
              void navigate({ search: event.target.value ? { app: event.target.value } : {} });
              setPage(1);
            }}
          >
            <option value="">All apps</option>
            {all.data?.apps.map((each) => (
              <option key={each.id} value={each.id}>
                {each.name}
              </option>
            ))}
          </Select>
        </span>
        <Button needs="admin" kind="primary" onClick={() => setAdding(true)}>
          <Plus aria-hidden size={15} /> Add a rule
        </Button>
      </PageHead>
      <OpenToAll>clients name their own app, so rules only bind those that name it truthfully.</OpenToAll>
      <div className="grid grid-cols-1 items-start gap-4 lg:grid-cols-2">
        <div className="min-w-0 space-y-4">
          <Default />
          <Panel>
            <PanelHead title="Rules" />
            <Found query={found} rows={3}>
              {({ items, total }) =>
                total === 0 ? (
                  <Empty title="No rules yet">The default above applies to everything.</Empty>
                ) : (
                  <>
                    <ul className="divide-y">
                      {items.map((rule) => (
                        <RuleRow key={rule.id} rule={rule} onRemove={() => remove.mutate(rule)} />
                      ))}
                    </ul>
                    <Pagination page={page} size={SIZE} total={total} onPage={setPage} />
                  </>
                )
              }
            </Found>
          </Panel>
        </div>
        <AccessPreview key={app} app={app} apps={all.data?.apps ?? []} />
      </div>
      {adding && <AddRule app={app} apps={all.data?.apps ?? []} onClose={() => setAdding(false)} />}
    </>
  );
}

function RuleRow({ rule, onRemove }: { rule: Schemas["AccessRule"]; onRemove: () => void }) {
  return (
    <li className="flex items-center gap-2.5 px-4 py-2.5 text-sm">
      <AppIcon name={rule.app_name} size={22} />
      <span className="flex min-w-0 grow flex-wrap items-center gap-x-2.5 gap-y-1">
        <span className="font-medium break-all">{rule.app_name}</span>
        <Badge tone={rule.effect === "allow" ? "good" : "bad"}>{rule.effect}</Badge>
        {rule.memory_id ? (
          <Link
            to="/memory/$id"
            params={{ id: rule.memory_id }}
            title={rule.memory_id}
            className="text-accent hover:underline"
          >
            one memory
          </Link>
        ) : (
          <span className="break-words text-soft">{about(rule)}</span>
        )}
      </span>
      <span className="text-soft">
        <When time={rule.updated_at} />
      </span>
      <IconButton needs="admin" label={`Remove the rule of ${rule.app_name} about ${about(rule)}`} onClick={onRemove}>
        <Trash2 size={14} />
      </IconButton>
    </li>
  );
}

function about(rule: Schemas["AccessRule"]): string {
  if (rule.memory_id) return `memory ${rule.memory_id}`;
  return rule.category ? `category “${rule.category}”` : "everything";
}

function Default() {
  const found = useQuery(defaultAccess());
  const lacking = useLacking("admin");
  const queries = useQueryClient();
  const toast = useToast();
  const change = useMutation({
    mutationFn: (policy: "allow" | "own") => body(api.PUT("/api/v1/access-rules/default", { body: { policy } })),
    onSuccess: () => toast.done("Saved. It applies to every read from now on."),
    onError: toast.failed,
    onSettled: () => queries.invalidateQueries({ queryKey: ["access"] }),
  });
  return (
    <Panel className="p-4">
      <Found query={found} rows={1}>
        {({ policy }) => (
          <Field label="Without a matching rule, an app may read">
            <Select
              disabled={change.isPending || lacking !== undefined}
              title={lacking}
              value={policy}
              onChange={(event) => change.mutate(event.target.value as "allow" | "own")}
            >
              <option value="allow">everything</option>
              <option value="own">only what it wrote itself</option>
            </Select>
          </Field>
        )}
      </Found>
    </Panel>
  );
}

type Kind = "everything" | "category" | "memory";
type AddProps = { app: string; apps: readonly { id: string; name: string }[]; onClose: () => void };

function AddRule({ app, apps: known, onClose }: AddProps) {
  const others = known.filter((each) => each.name !== "dashboard");
  const [appId, setAppId] = useState(app || (others[0]?.id ?? ""));
  const [effect, setEffect] = useState<"allow" | "deny">("deny");
  const [kind, setKind] = useState<Kind>("category");
  const [category, setCategory] = useState("");
  const [memory, setMemory] = useState("");
  const names = useQuery(categories());
  const queries = useQueryClient();
  const toast = useToast();
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
      title="Add a rule"
      description="If the app already has a rule for the same thing, the new one replaces it."
    >
      <form
        className="space-y-4"
        onSubmit={(event) => {
          event.preventDefault();
          add.mutate();
        }}
      >
        <Field label="App">
          <Select value={appId} onChange={(event) => setAppId(event.target.value)}>
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
        <Field label="Applies to">
          <Select value={kind} onChange={(event) => setKind(event.target.value as Kind)}>
            <option value="category">memories of a category</option>
            <option value="memory">one memory</option>
            <option value="everything">everything</option>
          </Select>
        </Field>
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
        {kind === "memory" && (
          <Field label="Memory" hint="The ID shown on its page">
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
