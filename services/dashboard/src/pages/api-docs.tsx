/** The REST API as its OpenAPI document describes it: each route with what it takes and answers. */
import { useQuery } from "@tanstack/react-query";
import { FileJson, Search } from "lucide-react";
import { useDeferredValue, useState } from "react";
import { openApi } from "../api/operating";
import { type Operation, type Parameter, typeName } from "../lib/open-api";
import { Input } from "../ui/field";
import { Badge, PageHead, Panel, PanelHead } from "../ui/panel";
import { Empty, Failure, SkeletonRows } from "../ui/states";

const TONES = { get: "accent", post: "good", put: "warn", patch: "warn", delete: "bad" } as const;

export function ApiDocsPage() {
  const found = useQuery(openApi());
  const [draft, setDraft] = useState("");
  const wanted = useDeferredValue(draft.trim().toLowerCase());
  const shown = (found.data?.operations ?? []).filter((each) =>
    `${each.method} ${each.path} ${each.description}`.toLowerCase().includes(wanted),
  );
  const tags = [...new Set(shown.map((each) => each.tag))];
  return (
    <>
      <PageHead title="API" hint={found.data?.summary}>
        <div className="relative w-64 max-sm:w-full">
          <Search aria-hidden size={15} className="absolute top-2.5 left-3 text-faint" />
          <Input
            type="search"
            aria-label="Search routes"
            placeholder="Search routes"
            className="pl-9"
            value={draft}
            onChange={(event) => setDraft(event.target.value)}
          />
        </div>
        <a href="/openapi.json" className="inline-flex items-center gap-1.5 text-sm text-accent hover:underline">
          <FileJson aria-hidden size={15} /> OpenAPI
        </a>
      </PageHead>
      {found.isPending ? (
        <Panel>
          <SkeletonRows rows={8} />
        </Panel>
      ) : found.error && !found.data ? (
        <Panel>
          <Failure error={found.error} retry={found.refetch} />
        </Panel>
      ) : tags.length === 0 ? (
        <Panel>
          <Empty title="No route matches" />
        </Panel>
      ) : (
        <div className="space-y-4">
          {tags.map((tag) => (
            <Panel key={tag}>
              <PanelHead title={tag} />
              <ul className="divide-y">
                {shown
                  .filter((each) => each.tag === tag)
                  .map((each) => (
                    <li key={`${each.method} ${each.path}`}>
                      <Route operation={each} />
                    </li>
                  ))}
              </ul>
            </Panel>
          ))}
        </div>
      )}
    </>
  );
}

function Route({ operation }: { operation: Operation }) {
  const { method, path, summary, description, scopes, parameters, body, answers } = operation;
  return (
    <details className="px-4 py-2.5">
      <summary className="flex flex-wrap items-center gap-x-3 gap-y-1 text-sm">
        <span className="w-16">
          <Badge tone={TONES[method]}>{method.toUpperCase()}</Badge>
        </span>
        <code className="min-w-0 font-mono text-xs break-all">{path}</code>
        <span className="min-w-0 grow truncate text-soft">{summary}</span>
      </summary>
      <div className="mt-3 space-y-4 text-sm">
        <p className="max-w-prose whitespace-pre-line">{description}</p>
        {scopes.length > 0 && (
          <p className="text-soft">Where tokens are asked for, one needs the scope {scopes.join(", ")}.</p>
        )}
        {parameters.length > 0 && <Parameters all={parameters} />}
        {body !== undefined && <Example title="Body" value={body} />}
        {answers.map((answer) => (
          <div key={answer.status}>
            <p>
              <Badge tone={answer.status.startsWith("2") ? "good" : "plain"}>{answer.status}</Badge>{" "}
              {answer.description}
            </p>
            {answer.example !== undefined && <Example title={`Answer ${answer.status}`} value={answer.example} />}
          </div>
        ))}
      </div>
    </details>
  );
}

function Parameters({ all }: { all: readonly Parameter[] }) {
  return (
    <dl className="space-y-1.5">
      {all.map((each) => (
        <div key={`${each.in} ${each.name}`} className="flex flex-wrap gap-x-3">
          <dt className="font-mono text-xs leading-5">
            {each.name}
            {each.required && <span className="text-bad"> required</span>}
          </dt>
          <dd className="text-soft">
            {each.in}, {typeName(each.schema)}
            {each.description && `: ${each.description}`}
          </dd>
        </div>
      ))}
    </dl>
  );
}

function Example({ title, value }: { title: string; value: unknown }) {
  return (
    <figure>
      <figcaption className="mb-1 text-xs text-soft">{title}, for example</figcaption>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached by keyboard */}
      <pre tabIndex={0} className="max-h-72 overflow-auto rounded-lg bg-sunken p-3 font-mono text-xs">
        {typeof value === "string" ? value : JSON.stringify(value, null, 2)}
      </pre>
    </figure>
  );
}
