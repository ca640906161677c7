import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { KeyRound } from "lucide-react";
import { useState } from "react";
import { api, body, type Schemas } from "../api/client";
import { tokens } from "../api/operating";
import { OpenToAll } from "../parts/open-to-all";
import { Button } from "../ui/button";
import { Choice } from "../ui/checkbox";
import { CopyBox } from "../ui/copy-box";
import { Confirm, Dialog } from "../ui/dialog";
import { Field, Input, Refusal, Select } from "../ui/field";
import { Found } from "../ui/found";
import { Pagination } from "../ui/pagination";
import { Badge, PageHead, Panel } from "../ui/panel";
import { Empty } from "../ui/states";
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
    onSuccess: () => toast.done("Token revoked. It no longer works."),
    onError: toast.failed,
    onSettled: () => queries.invalidateQueries({ queryKey: ["tokens"] }),
  });
  return (
    <>
      <PageHead title="Tokens" hint="Clients sign in with these when authentication is on.">
        <Button needs="admin" kind="primary" onClick={() => setIssuing(true)}>
          <KeyRound aria-hidden size={15} /> Issue a token
        </Button>
      </PageHead>
      <OpenToAll>nobody is asked for a token. Tokens issued now will count once it is on.</OpenToAll>
      <Panel>
        <Found query={found}>
          {({ items, total }) =>
            total === 0 ? (
              <Empty title="No tokens yet">Clients need one when authentication is on.</Empty>
            ) : (
              <>
                <ul className="divide-y">
                  {items.map((token) => (
                    <Row key={token.id} token={token} onRevoke={() => setRevoking(token)} />
                  ))}
                </ul>
                <Pagination page={page} size={SIZE} total={total} onPage={setPage} />
              </>
            )
          }
        </Found>
      </Panel>
      {issuing && <Issue onClose={() => setIssuing(false)} />}
      {revoking && (
        <Confirm
          open
          title={`Revoke the token of ${revoking.app}?`}
          description="Clients that use it lose access immediately. This cannot be undone, but you can issue a new token."
          confirm="Revoke"
          onClose={() => setRevoking(null)}
          onConfirm={() => revoke.mutate(revoking.id)}
        />
      )}
    </>
  );
}

function Row({ token, onRevoke }: { token: Schemas["TokenView"]; onRevoke: () => void }) {
  return (
    <li className="flex min-h-14 flex-wrap items-center gap-x-3 gap-y-1.5 px-4 py-2.5 text-sm lg:grid lg:grid-cols-[minmax(0,1fr)_5rem_14rem_19rem_5rem]">
      <span className="min-w-0 break-words">
        <span className="font-medium">{token.app}</span>
        {token.label && <span className="ml-2 text-soft">{token.label}</span>}
        {/* As the audit says by whom something was done. */}
        <span className="block text-xs [overflow-wrap:anywhere] text-faint">
          <code className="font-mono">token:{token.id}</code>, issued by {token.created_by}
        </span>
      </span>
      <span>
        <Badge tone={TONES[token.state]}>{token.state}</Badge>
      </span>
      <span className="flex flex-wrap gap-1">
        {token.scopes.map((scope) => (
          <Badge key={scope}>{scope}</Badge>
        ))}
      </span>
      <span className="text-soft">
        issued <When time={token.created_at} />
        {token.state === "active" && token.expires_at != null && (
          <>
            , expires <When time={token.expires_at} />
          </>
        )}
      </span>
      {token.state === "active" && (
        <Button needs="admin" small kind="removal" className="ml-auto" onClick={onRevoke}>
          Revoke
        </Button>
      )}
    </li>
  );
}

function Issue({ onClose }: { onClose: () => void }) {
  const [app, setApp] = useState("");
  const [label, setLabel] = useState("");
  const [days, setDays] = useState("90");
  // As the command line does: who signs in here sees all that is theirs, a client reads and writes.
  const own = app.trim() === "dashboard";
  const [chosen, setScopes] = useState<Scope[] | null>(null);
  const scopes = chosen ?? (own ? SCOPES.map(([scope]) => scope) : ["read", "write"]);
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
      <Dialog open onClose={onClose} title="Your new token" description="It is shown only once. Copy it now.">
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
      description="Lets one client in, with the permissions you choose."
    >
      <form
        className="space-y-4"
        onSubmit={(event) => {
          event.preventDefault();
          issue.mutate();
        }}
      >
        <Field
          label="App"
          hint="The client that uses it, such as cursor. A token for “dashboard” is yours: it opens these pages"
        >
          <Input required autoFocus value={app} onChange={(event) => setApp(event.target.value)} />
        </Field>
        <Field label="Label" hint="Helps you tell tokens apart">
          <Input value={label} onChange={(event) => setLabel(event.target.value)} />
        </Field>
        <Field label="Expires after">
          <Select value={days} onChange={(event) => setDays(event.target.value)}>
            <option value="7">7 days</option>
            <option value="30">30 days</option>
            <option value="90">90 days</option>
            <option value="365">1 year</option>
            <option value="">never</option>
          </Select>
        </Field>
        <fieldset>
          <legend className="mb-1.5 text-sm font-medium">Permissions</legend>
          {SCOPES.map(([scope, words]) => (
            <Choice
              key={scope}
              label={`${scope}: ${words}`}
              checked={scopes.includes(scope)}
              onChange={(on) => setScopes(on ? [...scopes, scope] : scopes.filter((each) => each !== scope))}
            >
              <span className="font-medium">{scope}</span> <span className="text-soft">{words}</span>
            </Choice>
          ))}
        </fieldset>
        <Refusal error={issue.error} />
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
