import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { Plus, Trash2 } from "lucide-react";
import { useState } from "react";
import { api, body, type Schemas } from "../api/client";
import { accessRules, defaultAccess } from "../api/operating";
import { useLacking } from "../api/permissions";
import { apps, memoriesNow } from "../api/queries";
import { AccessPreview } from "../parts/access-preview";
import { AddRule } from "../parts/add-rule";
import { AppIcon } from "../parts/app-icon";
import { OpenToAll } from "../parts/open-to-all";
import { Button, IconButton } from "../ui/button";
import { Field, Select } from "../ui/field";
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
  const set = (rule: Rule) =>
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
    mutationFn: (rule: Rule) =>
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
                    <RuleRows rules={items} onRemove={remove.mutate} />
                    <Pagination page={page} size={SIZE} total={total} onPage={setPage} />
                  </>
                )
              }
            </Found>
          </Panel>
        </div>
        <AccessPreview key={app} app={app} apps={all.data?.apps ?? []} />
      </div>
      {adding && <AddRule app={app} onClose={() => setAdding(false)} />}
    </>
  );
}

type Rule = Schemas["AccessRule"];

/** The texts of all memories that they are about are asked for together. */
function RuleRows({ rules, onRemove }: { rules: readonly Rule[]; onRemove: (rule: Rule) => void }) {
  const ids = [...new Set(rules.flatMap((rule) => rule.memory_id ?? []))];
  const found = useQuery({ ...memoriesNow(ids), enabled: ids.length > 0 });
  const texts = found.data && new Map(found.data.items.map((memory) => [memory.id, memory.content]));
  return (
    <ul className="divide-y">
      {rules.map((rule) => (
        <RuleRow key={rule.id} rule={rule} about={about(rule, texts)} onRemove={() => onRemove(rule)} />
      ))}
    </ul>
  );
}

function RuleRow({ rule, about, onRemove }: { rule: Rule; about: string; onRemove: () => void }) {
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
            className="line-clamp-2 min-w-0 text-accent [overflow-wrap:anywhere] hover:underline"
          >
            {about}
          </Link>
        ) : (
          <span className="text-soft [overflow-wrap:anywhere]">{about}</span>
        )}
      </span>
      <span className="text-soft">
        <When time={rule.updated_at} />
      </span>
      <IconButton
        needs="admin"
        label={`Remove the rule of ${rule.app_name} about ${about.slice(0, 80)}`}
        onClick={onRemove}
      >
        <Trash2 size={14} />
      </IconButton>
    </li>
  );
}

/** Without texts, they are not known yet: then a memory's id stands in. */
function about({ memory_id, category }: Rule, texts: ReadonlyMap<string, string> | undefined): string {
  if (memory_id) return texts ? (texts.get(memory_id) ?? `deleted memory ${memory_id}`) : `memory ${memory_id}`;
  return category ? `category “${category}”` : "everything";
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
