/** What the page of the API shows of an OpenAPI 3.1 document. */
const METHODS = ["get", "post", "put", "patch", "delete"] as const;
const UNTAGGED = "service";

type Schema = { type?: string; format?: string; enum?: unknown[]; anyOf?: Schema[]; items?: Schema; default?: unknown };
type Media = { example?: unknown; examples?: Record<string, { value: unknown }> };
type Described = { description?: string; content?: Record<string, Media> };
export type Parameter = {
  name: string;
  in: string;
  required?: boolean;
  description?: string;
  schema?: Schema;
};
type Route = {
  tags?: string[];
  summary?: string;
  description?: string;
  security?: Record<string, string[]>[];
  parameters?: Parameter[];
  requestBody?: Described;
  responses?: Record<string, Described>;
};
export type Document = {
  info: { title: string; version: string; summary?: string };
  paths: Record<string, Partial<Record<(typeof METHODS)[number], Route>>>;
};

export type Operation = {
  method: (typeof METHODS)[number];
  path: string;
  tag: string;
  summary: string;
  description: string;
  scopes: string[];
  parameters: Parameter[];
  body: unknown;
  answers: { status: string; description: string; example: unknown }[];
};

const example = (described: Described | undefined): unknown => {
  const media = Object.values(described?.content ?? {})[0];
  return media?.example ?? Object.values(media?.examples ?? {})[0]?.value;
};

/** Its routes, in its order. */
export function operations(document: Document): Operation[] {
  return Object.entries(document.paths).flatMap(([path, item]) =>
    METHODS.flatMap((method) => {
      const route = item[method];
      if (!route) return [];
      return [
        {
          method,
          path,
          tag: route.tags?.[0] ?? UNTAGGED,
          summary: route.summary ?? "",
          description: route.description ?? route.summary ?? "",
          scopes: (route.security ?? []).flatMap((each) => Object.values(each).flat()),
          parameters: route.parameters ?? [],
          body: example(route.requestBody),
          answers: Object.entries(route.responses ?? {}).map(([status, answer]) => ({
            status,
            description: answer.description ?? "",
            example: example(answer),
          })),
        },
      ];
    }),
  );
}

/** A schema in a word or two: `string`, `integer, 10 when absent`, `a or b`. */
export function typeName(schema: Schema | undefined): string {
  if (!schema) return "any";
  const known = schema.default === undefined || schema.default === null ? "" : `, ${schema.default} when absent`;
  if (schema.enum) return schema.enum.join(" or ") + known;
  const others = schema.anyOf?.filter((each) => each.type !== "null").map(typeName);
  if (others) return [...new Set(others)].join(" or ") + known;
  if (schema.type === "array") return `list of ${typeName(schema.items)}`;
  return (schema.format ?? schema.type ?? "any") + known;
}
