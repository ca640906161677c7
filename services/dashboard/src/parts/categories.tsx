import { Popover } from "radix-ui";
import { Badge } from "../ui/panel";

/** A memory's categories: the first ones, and the others behind "+N". */
export function Categories({ names, show = 2 }: { names: readonly string[]; show?: number }) {
  if (names.length === 0) return null;
  const more = names.slice(show);
  return (
    <span className="flex flex-wrap items-center gap-1">
      {names.slice(0, show).map((name) => (
        <Badge key={name} title={name}>
          <span className="max-w-32 truncate">{name}</span>
        </Badge>
      ))}
      {more.length > 0 && (
        <Popover.Root>
          <Popover.Trigger
            className="rounded-md px-1 text-xs text-soft underline"
            aria-label={`${more.length} more categories`}
          >
            +{more.length}
          </Popover.Trigger>
          <Popover.Portal>
            <Popover.Content
              sideOffset={4}
              className="z-50 flex max-w-64 flex-wrap gap-1 rounded-lg border bg-raised p-2 shadow-xl"
            >
              {more.map((name) => (
                <Badge key={name}>{name}</Badge>
              ))}
            </Popover.Content>
          </Popover.Portal>
        </Popover.Root>
      )}
    </span>
  );
}
