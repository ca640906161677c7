import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { KeyRound } from "lucide-react";
import { Tabs } from "radix-ui";
import { useState } from "react";
import { api, body, type Schemas } from "../api/client";
import { type Client, clients } from "../lib/install";
import { Button } from "../ui/button";
import { CopyBox } from "../ui/copy-box";
import { Panel } from "../ui/panel";

const GRANTED: Schemas["NewToken"]["scopes"] = ["read", "write"];
const DAYS = 365;
const PLACE = "<token>";

/** Connects a client to this very server: pick it, copy, done. */
export function InstallPanel({ who }: { who: Schemas["Me"] }) {
  // Only this page knows them: once it is left, nobody sees them again.
  const [tokens, setTokens] = useState<Record<string, string>>({});
  const shown = (token?: string) => clients({ url: location.origin, user: who.user, token });
  const all = shown(who.authenticated ? PLACE : undefined).map(
    (client) => shown(tokens[client.id]).find((each) => tokens[client.id] && each.id === client.id) ?? client,
  );
  return (
    <Panel className="h-full p-5">
      <h2 className="text-base font-semibold">Connect a client</h2>
      <p className="mt-1 text-sm text-soft">
        Memories are shared: what one client stores, every client you allow can find.
      </p>
      <Tabs.Root defaultValue="link" className="mt-4">
        <Tabs.List aria-label="Clients" className="flex gap-1 overflow-x-auto pb-2 lg:flex-wrap">
          {all.map((client) => (
            <Tabs.Trigger
              key={client.id}
              value={client.id}
              className="rounded-lg border border-transparent px-3 py-1.5 text-sm font-medium whitespace-nowrap text-soft hover:text-ink data-[state=active]:border-line data-[state=active]:bg-accent-soft data-[state=active]:text-accent"
            >
              {client.name}
            </Tabs.Trigger>
          ))}
        </Tabs.List>
        {all.map((client) => (
          <Tabs.Content key={client.id} value={client.id} className="mt-2 space-y-2">
            <p className="text-sm text-soft">{client.where}:</p>
            <CopyBox text={client.text} />
            {client.header && (
              <>
                <p className="text-sm text-soft">With this header:</p>
                <CopyBox text={client.header} />
              </>
            )}
            {who.authenticated &&
              (tokens[client.id] ? (
                <p role="status" className="text-sm text-good">
                  This token is shown only once. Copy it now.
                </p>
              ) : (
                <Issue
                  client={client}
                  may={["admin", ...GRANTED].every((scope) => (who.scopes as string[]).includes(scope))}
                  onIssued={(token) => setTokens((held) => ({ ...held, [client.id]: token }))}
                />
              ))}
          </Tabs.Content>
        ))}
      </Tabs.Root>
    </Panel>
  );
}

type IssueProps = { client: Client; may: boolean; onIssued: (token: string) => void };

/** A token for this client, to stand where it has to. */
function Issue({ client, may, onIssued }: IssueProps) {
  const queries = useQueryClient();
  const issue = useMutation({
    mutationFn: () =>
      body(
        api.POST("/api/v1/tokens", {
          body: { app: client.app, label: client.name, scopes: GRANTED, expires_in: DAYS },
        }),
      ),
    onSuccess: (issued) => onIssued(issued.token),
    onSettled: () => queries.invalidateQueries({ queryKey: ["tokens"] }),
  });
  if (!may) {
    return (
      <p className="text-sm text-soft">
        Replace it with a token for the app <code className="font-mono text-xs">{client.app}</code>. Your own token
        cannot issue one: ask whoever runs this server for <code className="font-mono text-xs">memlog token issue</code>
        .
      </p>
    );
  }
  return (
    <div className="flex flex-wrap items-center gap-x-3 gap-y-2">
      <Button small kind="primary" busy={issue.isPending} onClick={() => issue.mutate()}>
        <KeyRound aria-hidden size={14} /> Create a token for {client.name}
      </Button>
      <p className="min-w-0 flex-1 basis-60 text-xs text-soft">
        Lets {client.name} read and add memories, but not delete them, for a year. You can revoke it under{" "}
        <Link to="/tokens" className="text-accent underline">
          Tokens
        </Link>
        .
      </p>
      {issue.error && (
        <p role="alert" className="w-full text-sm text-bad">
          {issue.error.message}
        </p>
      )}
    </div>
  );
}
