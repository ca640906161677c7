import { useQuery } from "@tanstack/react-query";
import { CircleAlert, CircleCheck } from "lucide-react";
import { health } from "../api/operating";
import { count } from "../lib/format";
import { factName, SERVICES, sequence } from "../lib/parts";
import { Found } from "../ui/found";
import { Badge, PageHead, Panel } from "../ui/panel";

const WORDS = {
  ok: "all services running",
  degraded: "some services are down",
  unavailable: "out of service",
} as const;
const TONES = { ok: "good", degraded: "warn", unavailable: "bad" } as const;

export function HealthPage() {
  const found = useQuery(health());
  return (
    <>
      <PageHead title="Health" hint="The state of every service, and the models in use.">
        {found.data && <Badge tone={TONES[found.data.status]}>{WORDS[found.data.status]}</Badge>}
      </PageHead>
      <Found query={found} panel>
        {(known) => (
          <div className="grid grid-cols-1 items-start gap-4 lg:grid-cols-3">
            <Panel className="min-w-0 lg:col-span-2">
              <ul className="divide-y">
                {known.services.map((service) => (
                  <li key={service.service} className="flex gap-3 px-4 py-3 text-sm">
                    {service.ok ? (
                      <CircleCheck aria-label="ok" size={18} className="mt-0.5 shrink-0 text-good" />
                    ) : (
                      <CircleAlert aria-label="not ok" size={18} className="mt-0.5 shrink-0 text-bad" />
                    )}
                    <div className="min-w-0 grow">
                      <p>
                        <span className="mr-2 font-medium">{service.service}</span>
                        <span className="text-soft">{SERVICES[service.service]}</span>
                      </p>
                      {service.detail && <p className="break-words text-soft">{service.detail}</p>}
                      <Facts facts={service.facts ?? {}} shards={shards(known)} />
                    </div>
                  </li>
                ))}
              </ul>
            </Panel>
            <Panel className="p-5">
              <dl className="space-y-3 text-sm">
                <Named name="Version" value={known.version} />
                <Named name="Embedder" value={known.embedder ?? "no answer"} />
                <Named name="Language model" value={known.llm ?? "none: texts are stored as written"} />
                <Named name="Index" value={known.index ?? "no answer"} />
                {Object.entries(known.positions).map(([name, position]) => (
                  <Named
                    key={name}
                    name={factName(`position.${name}`, shards(known))}
                    value={count(sequence(position))}
                  />
                ))}
              </dl>
            </Panel>
          </div>
        )}
      </Found>
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

const shards = ({ positions }: { positions: Record<string, string> }) =>
  new Set(Object.keys(positions).map((name) => name.split(".").at(-1))).size;

function Facts({ facts, shards }: { facts: Record<string, unknown>; shards: number }) {
  const shown = Object.entries(facts).filter(([, value]) => ["string", "number", "boolean"].includes(typeof value));
  if (shown.length === 0) return null;
  return (
    <dl className="mt-1 flex flex-wrap gap-x-4 gap-y-0.5 text-xs text-faint">
      {shown.map(([name, value]) => (
        <div key={name} className="flex gap-1">
          <dt>{factName(name, shards)}:</dt>
          <dd className="break-all">{name.startsWith("position.") ? count(sequence(String(value))) : String(value)}</dd>
        </div>
      ))}
    </dl>
  );
}
