import { Link } from "@tanstack/react-router";
import { Check, Copy } from "lucide-react";
import { Tabs } from "radix-ui";
import { useState } from "react";
import { clients } from "../lib/install";
import { Button } from "../ui/button";
import { Panel } from "../ui/panel";

/** Connects a client to this very server: pick it, copy, done. */
export function InstallPanel({ user, authenticated }: { user: string; authenticated: boolean }) {
  const all = clients({ url: location.origin, user, token: authenticated ? "<token>" : undefined });
  return (
    <Panel className="p-5">
      <h2 className="text-base font-semibold">Connect a client</h2>
      <p className="mt-1 text-sm text-soft">
        Memory is shared: what one client remembers, every other one that you allow can find.
        {authenticated && (
          <>
            {" "}
            Put a token in the place of <code className="font-mono text-xs">{"<token>"}</code>: issue one for the client
            on the page{" "}
            <Link to="/tokens" className="text-accent underline">
              Tokens
            </Link>
            .
          </>
        )}
      </p>
      <Tabs.Root defaultValue="link" className="mt-4">
        <Tabs.List aria-label="Clients" className="flex gap-1 overflow-x-auto pb-2">
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
          <Tabs.Content key={client.id} value={client.id} className="mt-2">
            <p className="mb-2 text-sm text-soft">{client.where}:</p>
            <CopyBox text={client.text} />
          </Tabs.Content>
        ))}
      </Tabs.Root>
    </Panel>
  );
}

export function CopyBox({ text }: { text: string }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    setCopied(true);
    setTimeout(() => setCopied(false), 2000);
  };
  return (
    <div className="flex items-start gap-2 rounded-lg border bg-sunken p-3">
      <pre className="min-w-0 grow overflow-x-auto font-mono text-xs leading-relaxed">
        <code>{text}</code>
      </pre>
      <Button small onClick={() => void copy()} aria-label={copied ? "Copied" : "Copy"}>
        {copied ? <Check aria-hidden size={14} className="text-good" /> : <Copy aria-hidden size={14} />}
        <span aria-hidden>{copied ? "Copied" : "Copy"}</span>
      </Button>
    </div>
  );
}
