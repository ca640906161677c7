import { Check, Copy } from "lucide-react";
import { useState } from "react";
import { Button } from "./button";

export function CopyBox({ text }: { text: string }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    setCopied(true);
    setTimeout(() => setCopied(false), 2000);
  };
  return (
    <div className="flex items-start gap-2 rounded-lg border bg-sunken p-3 text-ink">
      <pre className="min-w-0 grow self-center font-mono text-xs leading-relaxed [overflow-wrap:anywhere] whitespace-pre-wrap">
        <code>{text}</code>
      </pre>
      <Button small onClick={() => void copy()} aria-label={copied ? "Copied" : "Copy"}>
        {copied ? <Check aria-hidden size={14} className="text-good" /> : <Copy aria-hidden size={14} />}
        <span aria-hidden>{copied ? "Copied" : "Copy"}</span>
      </Button>
    </div>
  );
}
