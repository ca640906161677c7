/** What the parts of Memlog are for. Their names stay: they are what commands and logs call them. */
export const SERVICES: Record<string, string> = {
  gateway: "answers apps and these pages",
  nats: "keeps the log",
  postgres: "holds lists, history and the audit",
  "memory-writer": "decides what is remembered, and writes the log",
  indexer: "makes memories searchable by meaning",
  categorizer: "sorts memories into categories",
  audit: "fills PostgreSQL from the log",
};

export const PROJECTIONS: Record<string, string> = {
  "read-models": "lists, history, apps and rules",
  "access-log": "who read what",
  index: "search by meaning",
};

const FACTS: Record<string, string> = {
  position: "at event",
  quarantined: "events given up on",
  generation: "generation in use",
  lag: "events waiting",
  asking: "questions under way",
  llm: "language model",
  llm_failure: "language model fails",
};

/** A fact's name in words: `quarantined.index.0` as "index, events given up on", and of which shard, if it has several. */
export function factName(name: string, shards: number): string {
  const [fact = "", ...about] = name.split(".");
  const shard = /^\d+$/.test(about.at(-1) ?? "") ? about.pop() : undefined;
  const words = [...about, FACTS[fact] ?? fact.replaceAll("_", " ")];
  if (shard !== undefined && shards > 1) words.splice(-1, 0, `shard ${shard}`);
  return words.join(", ");
}

/** `0-128`, which names the shard, as 128. */
export const sequence = (position: string): number => Number(position.split("-").at(-1));
