import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { KeyRound } from "lucide-react";
import { useState } from "react";
import { api, body, type Schemas } from "../api/client";
import { tokens } from "../api/queries";

import { Button } from "../ui/button";
import { Checkbox } from "../ui/checkbox";
import { CopyBox } from "../ui/copy-box";
import { Confirm, Dialog } from "../ui/dialog";
import { Field, Input, Select } from "../ui/field";
import { Pagination } from "../ui/pagination";
import { Badge, PageHead, Panel } from "../ui/panel";
import { Empty, Failure, SkeletonRows } from "../ui/states";
import { useToast } from "../ui/toast";
import { When } from "../ui/when";

type Scope = Schemas["NewToken"]["scopes"][number];
const SCOPES: [Scope, string][] = [
  ["read", "search and read memories"],
  ["write", "add and change memories"],
  ["delete", "delete memories"],
  ["admin", "rules, settings, tokens"],
];
const TONES = { active: "good", expired: "plain", revoked: "bad" } as const;
const SIZE = 20;

export function TokensPage() {
  const [page, setPage] = useState(1);
  const [issuing, setIssuing] = useState(false);
  const [revoking, setRevoking] = useState<Schemas["TokenView"] | null>(null);
  const found = useQuery(tokens(page, SIZE));
  const queries = useQueryClient();
  const toast = useToast();
  const revoke = useMutation({
    mutationFn: (id: string) => body(api.DELETE("/api/v1/tokens/{token_id}", { params: { path: { token_id: id } } })),
    onSuccess: () => toast.done("Revoked: it counts nowhere any more."),
    onError: toast.failed,
    onSettled: () => queries.invalidateQueries({ queryKey: ["tokens"] }),
  });
  return (
    <>
      <PageHead title="Tokens" hint="What clients prove themselves with, where authentication is on.">
        <Button needs="admin" kind="primary" onClick={() => setIssuing(true)}>
          <KeyRound aria-hidden size={15} /> Issue a token
        </Button>
      </PageHead>
      <Panel>
        {found.isPending ? (
          <SkeletonRows />
        ) : found.error && !found.data ? (
          <Failure error={found.error} retry={found.refetch} />
        ) : found.data.total === 0 ? (
          <Empty title="No token was issued yet" />
        ) : (
          <>
            <ul className="divide-y">
              {found.data.items.map((token) => (
                <li key={token.id} className="flex flex-wrap items-center gap-x-3 gap-y-1.5 px-4 py-3 text-sm">
                  <span className="font-medium">{token.app}</span>
                  {token.label && <span className="text-soft">{token.label}</span>}
                  <Badge tone={TONES[token.state]}>{token.state}</Badge>
                  {token.scopes.map((scope) => (
                    <Badge key={scope}>{scope}</Badge>
                  ))}
                  <span className="ml-auto text-soft">
                    issued <When time={token.created_at} />
                    {token.state === "active" && token.expires_at != null && (
                      <>
                        , ends <When time={token.expires_at} />
                      </>
                    )}
                  </span>
                  {token.state === "active" && (
                    <Button small kind="danger" onClick={() => setRevoking(token)}>
                      Revoke
                    </Button>
                  )}
                </li>
              ))}
            </ul>
            {found.data.total > SIZE && (
              <Pagination page={page} size={SIZE} total={found.data.total} onPage={setPage} />
            )}
          </>
        )}
      </Panel>
      {issuing && <Issue onClose={() => setIssuing(false)} />}
      {revoking && (
        <Confirm
          open
          title={`Revoke the token of ${revoking.app}?`}
          description="Whoever uses it is refused from now on. It cannot be made to count again."
          confirm="Revoke"
          onClose={() => setRevoking(null)}
          onConfirm={() => revoke.mutate(revoking.id)}
        />
      )}
    </>
  );
}

function Issue({ onClose }: { onClose: () => void }) {
  const [app, setApp] = useState("");
  const [label, setLabel] = useState("");
  const [days, setDays] = useState("90");
  const [scopes, setScopes] = useState<Scope[]>(["read", "write"]);
  const queries = useQueryClient();
  const issue = useMutation({
    mutationFn: () =>
      body(
        api.POST("/api/v1/tokens", {
          body: { app: app.trim(), label: label.trim(), scopes, expires_in: days === "" ? null : Number(days) },
        }),
      ),
    onSettled: () => queries.invalidateQueries({ queryKey: ["tokens"] }),
  });
  if (issue.data) {
    return (
      <Dialog open onClose={onClose} title="The token" description="It is shown this once: copy it now.">
        <CopyBox text={issue.data.token} />
        <p className="mt-3 text-sm text-soft">
          The client sends it as a header: <code className="font-mono text-xs">Authorization: Bearer …</code>
        </p>
        <div className="mt-4 flex justify-end">
          <Button kind="primary" onClick={onClose}>
            Done
          </Button>
        </div>
      </Dialog>
    );
  }
  return (
    <Dialog
      open
      onClose={onClose}
      title="Issue a token"
      description="For one client, as one app, within what you tick."
    >
      <form
        className="space-y-4"
        onSubmit={(event) => {
          event.preventDefault();
          issue.mutate();
        }}
      >
        <Field label="App" hint="The name under which it reads and writes, such as cursor">
          <Input required autoFocus value={app} onChange={(event) => setApp(event.target.value)} />
        </Field>
        <Field label="Label" hint="For you, to tell tokens apart">
          <Input value={label} onChange={(event) => setLabel(event.target.value)} />
        </Field>
        <Field label="Ends after">
          <Select value={days} onChange={(event) => setDays(event.target.value)}>
            <option value="7">7 days</option>
            <option value="30">30 days</option>
            <option value="90">90 days</option>
            <option value="365">a year</option>
            <option value="">never</option>
          </Select>
        </Field>
        <fieldset>
          <legend className="mb-1.5 text-sm font-medium">It may</legend>
          {SCOPES.map(([scope, words]) => (
            <div key={scope} className="flex items-center gap-3 py-1 text-sm">
              <Checkbox
                label={`${scope}: ${words}`}
                checked={scopes.includes(scope)}
                onChange={(on) => setScopes(on ? [...scopes, scope] : scopes.filter((each) => each !== scope))}
              />
              <span>
                <span className="font-medium">{scope}</span> <span className="text-soft">{words}</span>
              </span>
            </div>
          ))}
        </fieldset>
        {issue.error && (
          <p role="alert" className="text-sm text-bad">
            {issue.error.message}
          </p>
        )}
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>Cancel</Button>
          <Button
            kind="primary"
            type="submit"
            busy={issue.isPending}
            disabled={app.trim() === "" || scopes.length === 0}
          >
            Issue
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
