import { ChevronLeft, ChevronRight } from "lucide-react";
import { count } from "../lib/format";
import { IconButton } from "./button";
import { Select } from "./field";

const SIZES = [10, 20, 50, 100];

type Props = {
  page: number;
  size: number;
  total: number;
  onPage: (page: number) => void;
  onSize?: (size: number) => void;
};

/** Nothing where there is one page, unless its size can be chosen. */
export function Pagination({ page, size, total, onPage, onSize }: Props) {
  if (!onSize && total <= size && page === 1) return null;
  const pages = Math.max(1, Math.ceil(total / size));
  const first = total === 0 ? 0 : (page - 1) * size + 1;
  return (
    <div className="flex flex-wrap items-center justify-between gap-3 border-t px-4 py-2.5 text-sm text-soft">
      <span aria-live="polite">
        {count(first)}–{count(Math.min(page * size, total))} of {count(total)}
      </span>
      <div className="flex items-center gap-2">
        {onSize && (
          <span className="w-32">
            <Select aria-label="Rows a page" value={size} onChange={(event) => onSize(Number(event.target.value))}>
              {SIZES.map((each) => (
                <option key={each} value={each}>
                  {each} rows
                </option>
              ))}
            </Select>
          </span>
        )}
        <IconButton label="Previous page" disabled={page <= 1} onClick={() => onPage(page - 1)}>
          <ChevronLeft size={16} />
        </IconButton>
        <span className="tabular-nums">
          {count(page)} / {count(pages)}
        </span>
        <IconButton label="Next page" disabled={page >= pages} onClick={() => onPage(page + 1)}>
          <ChevronRight size={16} />
        </IconButton>
      </div>
    </div>
  );
}
