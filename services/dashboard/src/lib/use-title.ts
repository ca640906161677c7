import { useEffect } from "react";

/** What the tab and the history of the browser call this page. */
export function useTitle(name: string | undefined): void {
  useEffect(() => {
    document.title = name ? `${name} · Memlog` : "Memlog";
  }, [name]);
}
