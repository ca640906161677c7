/** The gateway's REST API, typed by its OpenAPI document (`npm run types`). */
import createClient from "openapi-fetch";
import type { components, paths } from "./schema";
import { authorization } from "./session";

export type Schemas = components["schemas"];

/** A request that was refused, or got no answer (`status` 0). `code` is stable; `message` is for people. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly requestId: string | null = null,
  ) {
    super(message);
    this.name = "ApiError";
  }

  /** Whether it is not there, or not for whoever asks: to ask again does not help. */
  get final(): boolean {
    return [403, 404, 410].includes(this.status);
  }
}

const MIN_POSITION = "Memlog-Min-Position";
let least: string | null = null;
let behind: () => void = () => {};

/** From now on, whatever is read shows the log up to this position (null: as far as it happens to be shown). */
export function mustShow(position: string | null): void {
  least = position;
}

/** What to do when an answer had to be taken that does not show the position yet. */
export function onBehind(again: () => void): void {
  behind = again;
}

/** A request with the tab's token; throws `ApiError` without an answer. */
export async function send(request: Request): Promise<Response> {
  for (const [name, value] of Object.entries(authorization())) request.headers.set(name, value);
  try {
    if (least === null || !reads(request)) return await fetch(request);
    const waiting = new Request(request.clone());
    waiting.headers.set(MIN_POSITION, least);
    const answer = await fetch(waiting);
    if (answer.status !== 503) return answer;
    // The read models are far behind: what there is, and again.
    const shown = await fetch(request);
    if (shown.ok) behind();
    return shown;
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError(0, "unreachable", "Memlog does not answer. Is it running? `memlog up` starts it.");
  }
}

export const api = createClient<paths>({ baseUrl: location.origin, fetch: send });

function reads(request: Request): boolean {
  return request.method === "GET" || request.url.endsWith("/memories/filter");
}

type Answer<T> = { data?: T; error?: unknown; response: Response };

/** The body of an answer; throws `ApiError` for one that is a problem (RFC 9457). */
export async function body<T>(pending: Promise<Answer<T>>): Promise<T> {
  const { data, error, response } = await pending;
  if (response.ok) return data as T;
  throw problem(response, error);
}

export function problem(response: Response, error: unknown): ApiError {
  const said = (typeof error === "object" && error !== null ? error : {}) as Record<string, unknown>;
  const message = [said.detail, said.title, response.statusText].find(
    (text) => typeof text === "string" && text !== "",
  );
  return new ApiError(
    response.status,
    typeof said.code === "string" ? said.code : `http_${response.status}`,
    String(message ?? `The server answers with status ${response.status}.`),
    response.headers.get("x-request-id"),
  );
}
