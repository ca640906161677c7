import { diffWords } from "diff";

export type Piece = { text: string; kind: "same" | "added" | "removed" };

/** What changed from one text to another, word by word. */
export function difference(before: string, after: string): Piece[] {
  return diffWords(before, after).map((part) => ({
    text: part.value,
    kind: part.added ? "added" : part.removed ? "removed" : "same",
  }));
}
