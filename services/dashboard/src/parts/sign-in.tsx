import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { signIn } from "../api/session";
import { Button } from "../ui/button";
import { Field, Input } from "../ui/field";
import { Panel } from "../ui/panel";

/** Where authentication is on: the token of the person, which this tab keeps until it is closed. */
export function SignIn({ refused }: { refused: boolean }) {
  const [draft, setDraft] = useState("");
  const queries = useQueryClient();
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
          signIn(draft);
          void queries.resetQueries();
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
        {refused && (
          <p role="alert" className="text-sm text-bad">
            That token does not count here: it is unknown, expired or revoked.
          </p>
        )}
        <Button kind="primary" type="submit" className="w-full" disabled={draft.trim() === ""}>
          Sign in
        </Button>
      </form>
    </Panel>
  );
}
