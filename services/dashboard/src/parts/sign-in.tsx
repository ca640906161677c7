import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { ApiError, api, body } from "../api/client";
import { me } from "../api/queries";
import { signIn, signOut } from "../api/session";
import { Button } from "../ui/button";
import { Field, Input } from "../ui/field";
import { Panel } from "../ui/panel";

/** Where authentication is on: the token of the person, which this tab keeps until it is closed. */
export function SignIn({ refused }: { refused: boolean }) {
  const [draft, setDraft] = useState("");
  const queries = useQueryClient();
  const attempt = useMutation({
    mutationFn: () => {
      signOut();
      return body(api.GET("/api/v1/me", { headers: { Authorization: `Bearer ${draft.trim()}` } }));
    },
    onSuccess: (who) => {
      signIn(draft);
      // What is held may be somebody else's.
      queries.removeQueries({ predicate: ({ queryKey }) => queryKey[0] !== "me" });
      queries.setQueryData(me().queryKey, who);
    },
  });
  const unknown = attempt.error instanceof ApiError ? attempt.error.status === 401 : !attempt.error && refused;
  return (
    <Panel className="mx-auto mt-16 max-w-md p-6">
      <h1 className="text-xl font-semibold">Sign in</h1>
      <p className="mt-1 mb-5 text-sm text-soft">
        This server asks for a token of yours, for the app <code className="font-mono text-xs">dashboard</code>:{" "}
        <code className="font-mono text-xs">memlog token issue</code> makes one.
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
        {(unknown || attempt.error) && (
          <p role="alert" className="text-sm text-bad">
            {unknown ? "That token does not count here: it is unknown, expired or revoked." : attempt.error?.message}
          </p>
        )}
        <Button kind="primary" type="submit" className="w-full" busy={attempt.isPending} disabled={draft.trim() === ""}>
          Sign in
        </Button>
      </form>
    </Panel>
  );
}
