/** For whom a token acts, and whether it is one for these pages. */
import { ApiError, api, body, type Schemas } from "./client";

export type Who = Schemas["Me"];

/** The app under which a person asks. */
const OWNER_APP = "dashboard";

/** The token counts, but is that of a client: over REST it sees next to nothing. */
export class ClientsToken extends ApiError {
  constructor(readonly who: Who) {
    super(403, "clients_token", `That is the token of a client, “${who.app}”.`);
  }
}

/** Whether there is no token, or none that opens these pages. */
export function locks(error: unknown): boolean {
  if (!(error instanceof ApiError)) return false;
  return error.status === 401 || error instanceof ClientsToken || lacksReading(error);
}

/** Whoever may not read is not even told who they are. */
export function lacksReading(error: ApiError): boolean {
  return error.code === "insufficient_scope";
}

/** Throws `ClientsToken` for a token that is not a person's, and `ApiError` for one that does not count or may not read. */
export async function askWho(asked: { signal?: AbortSignal; headers?: Record<string, string> }): Promise<Who> {
  const who = await body(api.GET("/api/v1/me", asked));
  if (who.app !== OWNER_APP) throw new ClientsToken(who);
  return who;
}
