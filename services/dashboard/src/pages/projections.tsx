import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api, body, type Schemas } from "../api/client";
import { projections } from "../api/queries";
import { count, plural } from "../lib/format";
import { Button } from "../ui/button";
import { Confirm } from "../ui/dialog";
import { Found } from "../ui/found";
import { Badge, PageHead, Panel } from "../ui/panel";
import { useToast } from "../ui/toast";
import { When } from "../ui/when";

type Projection = Schemas["ProjectionView"];
type Generation = Schemas["GenerationView"];
type Action = "rebuild" | "pause" | "resume" | "cancel" | "switch" | "rollback";

const TONES = {
  building: "accent",
  paused: "warn",
  following: "accent",
  serving: "good",
  retired: "plain",
  failed: "bad",
} as const;

const ASKS: Partial<Record<Action | "drop", { title: string; description: string; confirm: string }>> = {
  cancel: {
    title: "Give this rebuild up?",
    description: "What it has filled so far is removed. Reads are not touched.",
    confirm: "Give it up",
  },
  rollback: {
    title: "Go back to the generation before?",
    description: "It catches up first; then reads see it again.",
    confirm: "Go back",
  },
  drop: {
    title: "Remove this generation?",
    description: "It cannot be gone back to any more. It can always be rebuilt from the log.",
    confirm: "Remove",
  },
};

export function ProjectionsPage() {
  const found = useQuery(projections());
  return (
    <>
      <PageHead
        title="Projections"
        hint="What is derived from the log. Each can be rebuilt from it, beside the one that serves: reads go on meanwhile."
      />
      <Found query={found} panel>
        {({ projections: known }) => (
          <div className="space-y-4">
            {known.map((projection) => (
              <ProjectionPanel key={projection.name} projection={projection} />
            ))}
          </div>
        )}
      </Found>
    </>
  );
}

function ProjectionPanel({ projection }: { projection: Projection }) {
  const queries = useQueryClient();
  const toast = useToast();
  const [asking, setAsking] = useState<{ action: Action | "drop"; number?: number } | null>(null);
  const change = useMutation({
    mutationFn: ({ action, number }: { action: Action | "drop"; number?: number }) =>
      perform(projection.name, action, number),
    onError: toast.failed,
    onSettled: () => queries.invalidateQueries({ queryKey: ["projections"] }),
  });
  const ask = (action: Action | "drop", number?: number) => {
    const what = { action, ...(number === undefined ? {} : { number }) };
    if (ASKS[action]) setAsking(what);
    else change.mutate(what);
  };
  const busy = projection.generations.some((each) => ["building", "paused", "following"].includes(each.state));
  const retired = projection.generations.some((each) => each.state === "retired");
  const words = asking && ASKS[asking.action];
  return (
    <Panel>
      <div className="flex flex-wrap items-center gap-3 border-b px-4 py-3">
        <h2 className="text-base font-semibold">{projection.name}</h2>
        <Badge tone={projection.lag === 0 ? "good" : "warn"}>
          {projection.lag === 0 ? "up to date" : `${plural(projection.lag, "event")} behind`}
        </Badge>
        <span className="text-xs text-faint">
          {Object.entries(projection.positions)
            .map(([shard, sequence]) => `shard ${shard} at ${count(sequence)}`)
            .join(", ")}
        </span>
        <div className="grow" />
        {retired && !busy && (
          <Button small onClick={() => ask("rollback")}>
            Roll back
          </Button>
        )}
        {!busy && (
          <Button small busy={change.isPending} onClick={() => ask("rebuild")}>
            Rebuild
          </Button>
        )}
      </div>
      {projection.failure && (
        <p role="alert" className="border-b bg-bad-soft px-4 py-2 text-sm text-bad">
          {projection.failure}
        </p>
      )}
      {projection.rebuild && <Progress rebuild={projection.rebuild} />}
      <ul className="divide-y">
        {projection.generations.map((generation) => (
          <li key={generation.number} className="flex flex-wrap items-center gap-x-3 gap-y-1 px-4 py-2.5 text-sm">
            <span className="font-medium">Generation {generation.number}</span>
            <Badge tone={TONES[generation.state]}>{generation.state}</Badge>
            {generation.embedder && <span className="text-soft">{generation.embedder}</span>}
            {generation.parity && (
              <Badge tone={generation.parity === "differs" ? "bad" : "plain"} title={generation.difference ?? ""}>
                {generation.parity}
              </Badge>
            )}
            <span className="text-soft">
              begun <When time={generation.started_at} />
            </span>
            {generation.failure && <span className="w-full text-bad">{generation.failure}</span>}
            <span className="ml-auto flex gap-2">
              <Actions generation={generation} onAsk={ask} />
            </span>
          </li>
        ))}
      </ul>
      {asking && words && (
        <Confirm open {...words} onClose={() => setAsking(null)} onConfirm={() => change.mutate(asking)} />
      )}
    </Panel>
  );
}

function Actions({
  generation,
  onAsk,
}: {
  generation: Generation;
  onAsk: (action: Action | "drop", number: number) => void;
}) {
  const offered: Record<Generation["state"], [Action | "drop", string][]> = {
    building: [
      ["pause", "Pause"],
      ["cancel", "Cancel"],
    ],
    paused: [
      ["resume", "Resume"],
      ["cancel", "Cancel"],
    ],
    following: [
      ["switch", "Switch to it"],
      ["cancel", "Cancel"],
    ],
    failed: [
      ["resume", "Try again"],
      ["drop", "Remove"],
    ],
    retired: [["drop", "Remove"]],
    serving: [],
  };
  return offered[generation.state].map(([action, name]) => (
    <Button key={action} small onClick={() => onAsk(action, generation.number)}>
      {name}
    </Button>
  ));
}

function Progress({ rebuild }: { rebuild: Schemas["RebuildProgress"] }) {
  const share = rebuild.of === 0 ? 1 : rebuild.events / rebuild.of;
  const left = rebuild.seconds_left;
  return (
    <div className="border-b px-4 py-3">
      <div
        role="progressbar"
        aria-label={`Rebuild of generation ${rebuild.number}`}
        aria-valuenow={Math.round(share * 100)}
        aria-valuemin={0}
        aria-valuemax={100}
        className="h-2 overflow-hidden rounded-full bg-sunken"
      >
        <div className="h-full bg-accent transition-[width]" style={{ width: `${share * 100}%` }} />
      </div>
      <p className="mt-1.5 text-xs text-soft tabular-nums">
        {count(rebuild.events)} of {count(rebuild.of)} events, {count(Math.round(rebuild.rate))} a second
        {left != null && `, about ${left < 90 ? `${Math.ceil(left)} seconds` : `${Math.ceil(left / 60)} minutes`} left`}
      </p>
    </div>
  );
}

function perform(name: string, action: Action | "drop", number?: number) {
  const path = { name };
  const which = number === undefined ? {} : { number };
  switch (action) {
    case "rebuild":
      return body(api.POST("/api/v1/projections/{name}/rebuild", { params: { path }, body: {} }));
    case "drop":
      return body(
        api.DELETE("/api/v1/projections/{name}/generations/{number}", {
          params: { path: { name, number: number ?? 0 } },
        }),
      );
    case "switch":
      return body(api.POST("/api/v1/projections/{name}/switch", { params: { path }, body: which }));
    case "rollback":
      return body(api.POST("/api/v1/projections/{name}/rollback", { params: { path }, body: which }));
    case "pause":
      return body(api.POST("/api/v1/projections/{name}/pause", { params: { path }, body: which }));
    case "resume":
      return body(api.POST("/api/v1/projections/{name}/resume", { params: { path }, body: which }));
    case "cancel":
      return body(api.POST("/api/v1/projections/{name}/cancel", { params: { path }, body: which }));
  }
}
