/** The table of memories: as rows on a wide screen, as cards on a narrow one. */
import { Link } from "@tanstack/react-router";
import {
  Archive,
  ArchiveRestore,
  ArrowDown,
  ArrowUp,
  ChevronsUpDown,
  Ellipsis,
  Link2,
  Pause,
  Pencil,
  Play,
  ShieldHalf,
  Trash2,
} from "lucide-react";
import { type ReactNode, useState } from "react";
import type { Schemas } from "../api/client";
import type { Direction, SortColumn } from "../api/queries";
import { cx } from "../lib/cx";
import { IconButton } from "../ui/button";
import { Checkbox } from "../ui/checkbox";
import { Menu, MenuItem, MenuLine } from "../ui/menu";
import { useToast } from "../ui/toast";
import { When } from "../ui/when";
import { AddRule } from "./add-rule";
import { AppIcon } from "./app-icon";
import { Categories } from "./categories";
import { useChanging } from "./changing";
import { EditMemory } from "./edit-memory";
import { MemoryState } from "./memory-state";

type Memory = Schemas["Memory"];
export type Sorting = { column: SortColumn; direction: Direction };

type Props = {
  rows: readonly Memory[];
  selected?: ReadonlySet<string>;
  onSelect?: (ids: ReadonlySet<string>) => void;
  sorting?: Sorting;
  onSort?: (sorting: Sorting) => void;
  /** The moment of which they are: then they cannot be changed. */
  asOf?: string | undefined;
  /** Whether they may be of several apps. */
  apps?: boolean;
};

export function MemoryTable({ rows, selected, onSelect, sorting, onSort, asOf, apps = true }: Props) {
  const [editing, setEditing] = useState<Memory | null>(null);
  const [limiting, setLimiting] = useState<Memory | null>(null);
  const chosen = selected ?? new Set<string>();
  const all = rows.length > 0 && rows.every((row) => chosen.has(row.id));
  const some = rows.some((row) => chosen.has(row.id));
  const toggle = (id: string, on: boolean) => {
    const next = new Set(chosen);
    if (on) next.add(id);
    else next.delete(id);
    onSelect?.(next);
  };
  const head = (column: SortColumn, name: string) => (
    <SortableHead column={column} name={name} {...(sorting ? { sorting } : {})} {...(onSort ? { onSort } : {})} />
  );
  return (
    <>
      <table className="w-full text-left text-sm max-lg:block">
        <caption className="sr-only">Memories</caption>
        <thead className={cx("border-b text-xs text-soft", onSort ? "max-lg:block" : "max-lg:sr-only")}>
          <tr
            className={cx(
              "max-lg:flex max-lg:items-center max-lg:gap-3 max-lg:px-4",
              // The actions for what is selected stand in their place.
              chosen.size > 0 && "[&>th:not(:first-child)>button]:invisible",
            )}
          >
            {onSelect && (
              <th scope="col" className="w-10 px-4 py-2.5 max-lg:w-auto max-lg:px-0">
                <Checkbox
                  label="Select all on this page"
                  checked={all || (some && "indeterminate")}
                  onChange={(on) => onSelect(on ? new Set(rows.map((row) => row.id)) : new Set())}
                />
              </th>
            )}
            {head("memory", "Memory")}
            <th scope="col" className="px-3 py-2.5 font-medium max-lg:hidden">
              Categories
            </th>
            {apps && head("app_name", "Source app")}
            {head("created_at", "Created on")}
            <th scope="col" className="px-3 py-2.5 font-medium max-lg:hidden">
              State
            </th>
            {!asOf && (
              <th scope="col" className="w-12 px-3 py-2.5 max-lg:hidden">
                <span className="sr-only">Actions</span>
              </th>
            )}
          </tr>
        </thead>
        <tbody className="max-lg:block">
          {rows.map((row) => (
            <tr
              key={row.id}
              className={cx(
                "border-b last:border-0 hover:bg-sunken/60 max-lg:relative max-lg:flex max-lg:flex-wrap max-lg:items-center max-lg:gap-x-3 max-lg:gap-y-1.5 max-lg:p-4",
                onSelect && "max-lg:pl-11",
              )}
            >
              {onSelect && (
                <td className="px-4 py-3 max-lg:absolute max-lg:top-4 max-lg:left-4 max-lg:p-0">
                  <Checkbox
                    label={`Select: ${row.content.slice(0, 80)}`}
                    checked={chosen.has(row.id)}
                    onChange={(on) => toggle(row.id, on)}
                  />
                </td>
              )}
              <td
                className={cx(
                  "w-1/2 max-w-0 py-3 pr-3 max-lg:w-auto max-lg:max-w-none max-lg:min-w-0 max-lg:grow max-lg:basis-[calc(100%-6rem)] max-lg:self-start max-lg:p-0",
                  onSelect ? "pl-1" : "pl-4",
                )}
              >
                <Link
                  to="/memory/$id"
                  params={{ id: row.id }}
                  search={asOf ? { as_of: asOf } : {}}
                  className={cx("line-clamp-2 break-words hover:underline", row.state !== "active" && "text-faint")}
                >
                  {row.content}
                </Link>
              </td>
              <td className="px-3 py-3 max-lg:order-3 max-lg:p-0">
                <Categories names={row.categories ?? []} />
              </td>
              {apps && (
                <td className="px-3 py-3 max-lg:order-2 max-lg:p-0">
                  <Link
                    to="/apps/$id"
                    params={{ id: row.app_id }}
                    className="flex w-fit max-w-40 items-center gap-2 hover:underline"
                  >
                    <AppIcon name={row.app_name} size={20} />
                    <span className="truncate">{row.app_name}</span>
                  </Link>
                </td>
              )}
              <td className="px-3 py-3 text-soft max-lg:order-2 max-lg:p-0">
                <When time={row.created_at} />
              </td>
              <td className={cx("px-3 py-3 max-lg:order-2 max-lg:p-0", row.state === "active" && "max-lg:sr-only")}>
                <MemoryState state={row.state} />
              </td>
              {!asOf && (
                <td className="py-3 pr-4 pl-3 max-lg:-mt-1.5 max-lg:-mr-1.5 max-lg:order-1 max-lg:self-start max-lg:p-0">
                  <RowMenu row={row} onEdit={() => setEditing(row)} onLimit={() => setLimiting(row)} />
                </td>
              )}
            </tr>
          ))}
        </tbody>
      </table>
      {editing && <EditMemory id={editing.id} text={editing.content} onClose={() => setEditing(null)} />}
      {limiting && <AddRule memory={{ id: limiting.id, text: limiting.content }} onClose={() => setLimiting(null)} />}
    </>
  );
}

function RowMenu({ row, onEdit, onLimit }: { row: Memory; onEdit: () => void; onLimit: () => void }) {
  const { state, remove } = useChanging();
  const toast = useToast();
  const to = (wanted: "active" | "paused" | "archived") => () => state.mutate({ memories: [row], to: wanted });
  const copy = () =>
    navigator.clipboard
      .writeText(`${location.origin}/memory/${row.id}`)
      .then(() => toast.done("Link copied."), toast.failed);
  return (
    <Menu
      trigger={
        <IconButton label={`Actions for: ${row.content.slice(0, 80)}`}>
          <Ellipsis size={16} />
        </IconButton>
      }
    >
      <MenuItem needs="write" icon={<Pencil size={15} />} onSelect={onEdit}>
        Edit
      </MenuItem>
      {row.state === "paused" ? (
        <MenuItem needs="write" icon={<Play size={15} />} onSelect={to("active")}>
          Resume
        </MenuItem>
      ) : (
        <MenuItem needs="write" icon={<Pause size={15} />} onSelect={to("paused")}>
          Pause
        </MenuItem>
      )}
      {row.state === "archived" ? (
        <MenuItem needs="write" icon={<ArchiveRestore size={15} />} onSelect={to("active")}>
          Unarchive
        </MenuItem>
      ) : (
        <MenuItem needs="write" icon={<Archive size={15} />} onSelect={to("archived")}>
          Archive
        </MenuItem>
      )}
      <MenuItem needs="admin" icon={<ShieldHalf size={15} />} onSelect={onLimit}>
        Limit access…
      </MenuItem>
      <MenuItem icon={<Link2 size={15} />} onSelect={() => void copy()}>
        Copy link
      </MenuItem>
      <MenuLine />
      <MenuItem needs="delete" danger icon={<Trash2 size={15} />} onSelect={() => remove.mutate({ memories: [row] })}>
        Delete
      </MenuItem>
    </Menu>
  );
}

type HeadProps = { column: SortColumn; name: string; sorting?: Sorting; onSort?: (sorting: Sorting) => void };

function SortableHead({ column, name, sorting, onSort }: HeadProps): ReactNode {
  if (!onSort || !sorting) {
    return (
      <th scope="col" className="px-3 py-2.5 font-medium first:pl-4">
        {name}
      </th>
    );
  }
  const active = sorting.column === column;
  const Sign = active ? (sorting.direction === "asc" ? ArrowUp : ArrowDown) : ChevronsUpDown;
  return (
    <th
      scope="col"
      aria-sort={active ? (sorting.direction === "asc" ? "ascending" : "descending") : "none"}
      className={cx("py-2.5 pr-3 font-medium max-lg:px-0", column === "memory" ? "pl-1" : "pl-3")}
    >
      <button
        type="button"
        className={cx("inline-flex items-center gap-1 hover:text-ink", active && "text-ink")}
        onClick={() => onSort({ column, direction: active && sorting.direction === "desc" ? "asc" : "desc" })}
      >
        {name}
        <Sign aria-hidden size={13} />
      </button>
    </th>
  );
}
