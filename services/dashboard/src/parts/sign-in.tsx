import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { ApiError } from "../api/client";
import { me } from "../api/operating";
import { signIn, signOut } from "../api/session";
import { askWho, ClientsToken, lacksReading } from "../api/who";
import { shell } from "../lib/shell";
import { Button } from "../ui/button";
import { CopyBox } from "../ui/copy-box";
import { Field, Input } from "../ui/field";
import { Panel } from "../ui/panel";

const ISSUE = "memlog token issue";

/** Where authentication is on: the token of the person, which this tab keeps until it is closed. `refused`: why the one
 * that it holds opens nothing. */
export function SignIn({ refused }: { refused: Error | null }) {
  const [draft, setDraft] = useState("");
  const queries = useQueryClient();
  const attempt = useMutation({
    mutationFn: () => {
      signOut();
      return askWho({ headers: { Authorization: `Bearer ${draft.trim()}` } });
    },
    onSuccess: (who) => {
      signIn(draft);
      // What is held may be somebody else's.
      queries.removeQueries({ predicate: ({ queryKey }) => queryKey[0] !== "me" });
      queries.setQueryData(me().queryKey, who);
    },
  });
  const error = attempt.error ?? refused;
  return (
    <Panel className="mx-auto mt-16 max-w-md p-6">
      <h1 className="text-xl font-semibold">Sign in</h1>
      <p className="mt-1 mb-5 text-sm text-soft">
        This server asks for a token of yours, for the app <code className="font-mono text-xs">dashboard</code>:{" "}
        <code className="font-mono text-xs">{ISSUE}</code> makes one.
      </p>
      <form
        className="space-y-4"
        onSubmit={(event) => {
          event.preventDefault();
          attempt.mutate();
        }}
      >
        <Field label="Token">
          <Input
            type="password"
            autoFocus
            required
            autoComplete="off"
            value={draft}
            onChange={(event) => setDraft(event.target.value)}
          />
        </Field>
        {error && !attempt.isPending && (
          <div role="alert" className="space-y-2 text-sm text-bad">
            <Refused error={error} />
          </div>
        )}
        <Button kind="primary" type="submit" className="w-full" busy={attempt.isPending} disabled={draft.trim() === ""}>
          Sign in
        </Button>
      </form>
    </Panel>
  );
}

/** What kind of token it is, and how to come by the right one. */
function Refused({ error }: { error: Error }) {
  if (error instanceof ClientsToken) {
    const { app, user, scopes } = error.who;
    return (
      <>
        <p className="break-words">
          That is a token for the client “{app}” (of {user}, to {scopes.join(" and ")}): it lets the client in, and
          shows nothing here. This makes one for you:
        </p>
        <CopyBox text={`${ISSUE} --user ${shell(user)}`} />
      </>
    );
  }
  if (!(error instanceof ApiError)) return <p>{String(error)}</p>;
  if (error.status === 401) return <p>That token does not count here: it is unknown, expired or revoked.</p>;
  if (lacksReading(error)) {
    return (
      <>
        <p>
          That token does not have the “read” permission, so nothing can be shown. This makes one with all permissions:
        </p>
        <CopyBox text={ISSUE} />
      </>
    );
  }
  return <p>{error.message}</p>;
}
