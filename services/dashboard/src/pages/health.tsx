import { useQuery } from "@tanstack/react-query";
import { CircleAlert, CircleCheck } from "lucide-react";
import { health } from "../api/queries";
import { Badge, PageHead, Panel } from "../ui/panel";
import { Failure, SkeletonRows } from "../ui/states";

const TONES = { ok: "good", degraded: "warn", unavailable: "bad" } as const;

export function HealthPage() {
  const found = useQuery(health());
  return (
    <>
      <PageHead title="Health" hint="Every part, and which models are at work. Nothing is ever replaced silently.">
        {found.data && <Badge tone={TONES[found.data.status]}>{found.data.status}</Badge>}
      </PageHead>
      {found.isPending ? (
        <Panel>
          <SkeletonRows />
        </Panel>
      ) : found.error && !found.data ? (
        <Panel>
          <Failure error={found.error} retry={found.refetch} />
        </Panel>
      ) : (
        <div className="grid grid-cols-1 items-start gap-4 lg:grid-cols-3">
          <Panel className="min-w-0 lg:col-span-2">
            <ul className="divide-y">
              {found.data.services.map((service) => (
                <li key={service.service} className="flex gap-3 px-4 py-3 text-sm">
                  {service.ok ? (
                    <CircleCheck aria-label="ok" size={18} className="mt-0.5 shrink-0 text-good" />
                  ) : (
                    <CircleAlert aria-label="not ok" size={18} className="mt-0.5 shrink-0 text-bad" />
                  )}
                  <div className="min-w-0 grow">
                    <p className="font-medium">{service.service}</p>
                    {service.detail && <p className="break-words text-soft">{service.detail}</p>}
                    <Facts facts={service.facts ?? {}} />
                  </div>
                </li>
              ))}
            </ul>
          </Panel>
          <Panel className="p-5">
            <dl className="space-y-3 text-sm">
              <Named name="Version" value={found.data.version} />
              <Named name="Embedder" value={found.data.embedder ?? "none answers"} />
              <Named name="Language model" value={found.data.llm ?? "none: texts are kept as they are"} />
              <Named name="Index" value={found.data.index ?? "none answers"} />
              {Object.entries(found.data.positions).map(([name, position]) => (
                <Named key={name} name={`Position of ${name}`} value={position} />
              ))}
            </dl>
          </Panel>
        </div>
      )}
    </>
  );
}

function Named({ name, value }: { name: string; value: string }) {
  return (
    <div>
      <dt className="text-soft">{name}</dt>
      <dd className="font-medium break-words">{value}</dd>
    </div>
  );
}

function Facts({ facts }: { facts: Record<string, unknown> }) {
  const shown = Object.entries(facts).filter(([, value]) => ["string", "number", "boolean"].includes(typeof value));
  if (shown.length === 0) return null;
  return (
    <dl className="mt-1 flex flex-wrap gap-x-4 gap-y-0.5 text-xs text-faint">
      {shown.map(([name, value]) => (
        <div key={name} className="flex gap-1">
          <dt>{name.replaceAll("_", " ")}:</dt>
          <dd className="break-all">{String(value)}</dd>
        </div>
      ))}
    </dl>
  );
}
