import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { related } from "../api/queries";
import { Found } from "../ui/found";
import { Panel, PanelHead } from "../ui/panel";
import { Empty } from "../ui/states";
import { Categories } from "./categories";

/** What shares categories with a memory, then what is similar in meaning. */
export function Related({ id }: { id: string }) {
  const found = useQuery(related(id));
  return (
    <Panel>
      <PanelHead title="Related" />
      <Found query={found} rows={3}>
        {({ items }) =>
          items.length === 0 ? (
            <Empty title="No related memories" />
          ) : (
            <ul className="divide-y">
              {items.map((memory) => (
                <li key={memory.id} className="space-y-1.5 px-4 py-3 text-sm">
                  <Link
                    to="/memory/$id"
                    params={{ id: memory.id }}
                    className="line-clamp-3 break-words hover:underline"
                  >
                    {memory.content}
                  </Link>
                  <Categories names={memory.categories ?? []} />
                </li>
              ))}
            </ul>
          )
        }
      </Found>
    </Panel>
  );
}
