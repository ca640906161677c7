/** What the token of this tab may do: what it may not do is not offered. */
import { createContext, useContext } from "react";
import type { Schemas } from "./client";

export type Scope = Schemas["Me"]["scopes"][number];

/** The scopes of the token; null while they are not known, and where no token is asked for. */
export const Permissions = createContext<readonly Scope[] | null>(null);

/** Why something that needs `scope` cannot be done here; undefined when it can. */
export function useLacking(scope: Scope | undefined): string | undefined {
  const scopes = useContext(Permissions);
  return scopes === null || scope === undefined || scopes.includes(scope)
    ? undefined
    : `Your token does not have the “${scope}” permission`;
}
