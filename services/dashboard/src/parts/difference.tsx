import { difference } from "../lib/difference";

const STYLE = { same: "", added: "bg-good-soft text-good no-underline", removed: "bg-bad-soft text-bad line-through" };

/** Two texts as one: what was taken out is struck through, what is new is marked. */
export function Difference({ before, after }: { before: string; after: string }) {
  return (
    <p className="text-sm leading-relaxed break-words whitespace-pre-wrap">
      {difference(before, after).map((piece, place) => {
        const Tag = piece.kind === "added" ? "ins" : piece.kind === "removed" ? "del" : "span";
        return (
          // biome-ignore lint/suspicious/noArrayIndexKey: pieces have no names, and never move
          <Tag key={place} className={STYLE[piece.kind]}>
            {piece.text}
          </Tag>
        );
      })}
    </p>
  );
}
