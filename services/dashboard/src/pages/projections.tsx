import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api, body, type Schemas } from "../api/client";
import { projections } from "../api/operating";
import { count, plural } from "../lib/format";
import { PROJECTIONS } from "../lib/parts";
import { Button } from "../ui/button";
import { Choice } from "../ui/checkbox";
import { Confirm, Dialog } from "../ui/dialog";
import { Found } from "../ui/found";
import { Badge, PageHead, Panel } from "../ui/panel";
import { useToast } from "../ui/toast";
import { When } from "../ui/when";

type Projection = Schemas["ProjectionView"];
type Generation = Schemas["GenerationView"];
/** What is done to a generation. */
type Action = "pause" | "resume" | "cancel" | "switch" | "force" | "drop";
type Order = { action: Action; number: number } | { action: "rollback" } | { action: "rebuild"; hold: boolean };

const TONES = {
  building: "accent",
  paused: "warn",
  following: "accent",
  serving: "good",
  retired: "plain",
  failed: "bad",
} as const;

const ASKS: Partial<Record<Order["action"], { title: string; description: string; confirm: string }>> = {
  cancel: {
    title: "Stop this rebuild?",
    description: "What it has filled so far is removed. Reads are not affected.",
    confirm: "Stop it",
  },
  rollback: {
    title: "Roll back to the previous generation?",
    description: "It catches up with the log first. Then reads see it again.",
    confirm: "Roll back",
  },
  force: {
    title: "Switch although it differs?",
    description: "From then on, reads see what this generation holds. You can roll back to the one that serves now.",
    confirm: "Switch anyway",
  },
  drop: {
    title: "Remove this generation?",
    description: "You can no longer roll back to it. A new one can always be built from the log.",
    confirm: "Remove",
  },
};

export function ProjectionsPage() {
  const found = useQuery(projections());
  return (
    <>
      <PageHead
        title="Projections"
        hint="Everything that is derived from the log. Each projection can be rebuilt beside the one in use, and reads go on meanwhile."
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
  const [asking, setAsking] = useState<Order | null>(null);
  const [rebuilding, setRebuilding] = useState(false);
  const change = useMutation({
    mutationFn: (order: Order) => perform(projection.name, order),
    onError: toast.failed,
    onSettled: () => queries.invalidateQueries({ queryKey: ["projections"] }),
  });
  const ask = (order: Order) => (ASKS[order.action] ? setAsking(order) : change.mutate(order));
  const busy = projection.generations.some((each) => ["building", "paused", "following"].includes(each.state));
  const retired = projection.generations.some((each) => each.state === "retired");
  const words = asking && ASKS[asking.action];
  return (
    <Panel>
      <div className="flex flex-wrap items-center gap-3 border-b px-4 py-3">
        <h2 className="text-base font-semibold">{projection.name}</h2>
        <span className="text-sm text-soft">{PROJECTIONS[projection.name]}</span>
        <Badge tone={projection.lag === 0 ? "good" : "warn"}>
          {projection.lag === 0 ? "up to date" : `${plural(projection.lag, "event")} behind`}
        </Badge>
        <span className="text-xs text-faint">
          {Object.entries(projection.positions)
            .map(
              ([shard, sequence], _, { length }) => `${length > 1 ? `shard ${shard} ` : ""}at event ${count(sequence)}`,
            )
            .join(", ")}
        </span>
        <div className="grow" />
        {retired && !busy && (
          <Button small onClick={() => ask({ action: "rollback" })}>
            Roll back
          </Button>
        )}
        {!busy && (
          <Button small busy={change.isPending} onClick={() => setRebuilding(true)}>
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
              <Badge tone={generation.parity === "differs" ? "bad" : "plain"}>{generation.parity}</Badge>
            )}
            <span className="text-soft">
              started <When time={generation.started_at} />
            </span>
            <span className="ml-auto flex gap-2">
              <Actions generation={generation} onAsk={ask} />
            </span>
            {(generation.failure ?? generation.difference) && (
              <span className="w-full break-words text-bad">{generation.failure ?? generation.difference}</span>
            )}
          </li>
        ))}
      </ul>
      {rebuilding && (
        <Rebuild
          name={projection.name}
          onClose={() => setRebuilding(false)}
          onRebuild={(hold) => change.mutate({ action: "rebuild", hold })}
        />
      )}
      {asking && words && (
        <Confirm open {...words} onClose={() => setAsking(null)} onConfirm={() => change.mutate(asking)} />
      )}
    </Panel>
  );
}

/** Asks whether it is to be switched to by itself. */
function Rebuild({
  name,
  onClose,
  onRebuild,
}: {
  name: string;
  onClose: () => void;
  onRebuild: (hold: boolean) => void;
}) {
  const [hold, setHold] = useState(false);
  return (
    <Dialog
      open
      onClose={onClose}
      title={`Rebuild ${name}?`}
      description="A new generation is filled from the log and compared with the one in use. Reads go on meanwhile."
    >
      <Choice label="Switch to it by itself if the two are equal" checked={!hold} onChange={(on) => setHold(!on)} />
      <div className="mt-5 flex justify-end gap-2">
        <Button onClick={onClose}>Cancel</Button>
        <Button
          kind="primary"
          onClick={() => {
            onRebuild(hold);
            onClose();
          }}
        >
          Rebuild
        </Button>
      </div>
    </Dialog>
  );
}

function Actions({ generation, onAsk }: { generation: Generation; onAsk: (order: Order) => void }) {
  const offered: Record<Generation["state"], [Action, string][]> = {
    building: [
      ["pause", "Pause"],
      ["cancel", "Stop"],
    ],
    paused: [
      ["resume", "Resume"],
      ["cancel", "Stop"],
    ],
    following: [
      [generation.parity === "differs" ? "force" : "switch", "Switch to it"],
      ["cancel", "Stop"],
    ],
    failed: [
      ["resume", "Try again"],
      ["drop", "Remove"],
    ],
    retired: [["drop", "Remove"]],
    serving: [],
  };
  return offered[generation.state].map(([action, name]) => (
    <Button key={action} small onClick={() => onAsk({ action, number: generation.number })}>
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

function perform(name: string, order: Order) {
  const path = { name };
  switch (order.action) {
    case "rebuild":
      return body(api.POST("/api/v1/projections/{name}/rebuild", { params: { path }, body: { hold: order.hold } }));
    case "rollback":
      return body(api.POST("/api/v1/projections/{name}/rollback", { params: { path }, body: {} }));
    case "drop":
      return body(
        api.DELETE("/api/v1/projections/{name}/generations/{number}", {
          params: { path: { name, number: order.number } },
        }),
      );
    case "force":
      return body(
        api.POST("/api/v1/projections/{name}/switch", {
          params: { path },
          body: { number: order.number, force: true },
        }),
      );
    default:
      return body(
        api.POST(`/api/v1/projections/{name}/${order.action}`, { params: { path }, body: { number: order.number } }),
      );
  }
}
