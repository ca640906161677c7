import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Download, Upload } from "lucide-react";
import { useId, useState } from "react";
import { problem, type Schemas } from "../api/client";
import { authorization } from "../api/session";
import { Button } from "../ui/button";
import { Select } from "../ui/field";
import { Panel } from "../ui/panel";
import { useToast } from "../ui/toast";

/** Backups in OpenMemory's format: out of here, and into here (its own zips, too). */
export function Backup() {
  const [mode, setMode] = useState<"skip" | "overwrite">("skip");
  const [file, setFile] = useState<File | null>(null);
  const picker = useId();
  const queries = useQueryClient();
  const toast = useToast();
  const download = useMutation({
    mutationFn: async () => {
      const answer = await send("/api/v1/backup/export", JSON.stringify({}), { "Content-Type": "application/json" });
      const link = document.createElement("a");
      link.href = URL.createObjectURL(await answer.blob());
      link.download = `memlog-${new Date().toISOString().slice(0, 10)}.zip`;
      link.click();
      URL.revokeObjectURL(link.href);
    },
    onError: toast.failed,
  });
  const upload = useMutation({
    mutationFn: async (given: File) => {
      const form = new FormData();
      form.append("file", given);
      const answer = await send(`/api/v1/backup/import?mode=${mode}`, form);
      return (await answer.json()) as Schemas["Imported"];
    },
    onSuccess: (result) => {
      toast.done(result.message);
      setFile(null);
      void queries.invalidateQueries();
    },
    onError: toast.failed,
  });
  return (
    <Panel className="mt-4 p-5">
      <h2 className="text-base font-semibold">Backup</h2>
      <p className="mt-1 mb-4 text-sm text-soft">
        Export all memories, categories and rules as a zip file, or import one from Memlog or OpenMemory.
      </p>
      <div className="flex flex-wrap items-center gap-3">
        <Button busy={download.isPending} onClick={() => download.mutate()}>
          <Download aria-hidden size={15} /> Export
        </Button>
        <label
          htmlFor={picker}
          className="inline-flex h-9 cursor-pointer items-center gap-2 rounded-lg border bg-panel px-3.5 text-sm font-medium focus-within:outline-2 focus-within:outline-accent hover:bg-sunken"
        >
          <Upload aria-hidden size={15} /> {file ? file.name : "Choose a file"}
          <input
            id={picker}
            type="file"
            accept=".zip"
            className="sr-only"
            onChange={(event) => {
              setFile(event.target.files?.[0] ?? null);
              // So that the same file can be chosen once more.
              event.target.value = "";
            }}
          />
        </label>
        <span className="w-64">
          <Select
            aria-label="Existing memories"
            value={mode}
            onChange={(event) => setMode(event.target.value as "skip" | "overwrite")}
          >
            <option value="skip">Keep existing memories</option>
            <option value="overwrite">Overwrite existing memories</option>
          </Select>
        </span>
        <Button
          needs="admin"
          kind="primary"
          disabled={!file}
          busy={upload.isPending}
          onClick={() => file && upload.mutate(file)}
        >
          Import
        </Button>
      </div>
    </Panel>
  );
}

async function send(path: string, content: BodyInit, headers: Record<string, string> = {}): Promise<Response> {
  const answer = await fetch(path, { method: "POST", body: content, headers: { ...authorization(), ...headers } });
  if (!answer.ok) throw problem(answer, await answer.json().catch(() => null));
  return answer;
}
