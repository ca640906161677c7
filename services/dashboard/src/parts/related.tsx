import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { related } from "../api/queries";
import { Panel } from "../ui/panel";
import { Empty, Failure, SkeletonRows } from "../ui/states";
import { Categories } from "./categories";

/** What shares categories with a memory, then what is similar in meaning. */
export function Related({ id }: { id: string }) {
  const found = useQuery(related(id));
  return (
    <Panel>
      <h2 className="border-b px-4 py-3 text-base font-semibold">Related</h2>
      {found.isPending ? (
        <SkeletonRows rows={3} />
      ) : found.error && !found.data ? (
        <Failure error={found.error} retry={found.refetch} />
      ) : found.data.items.length === 0 ? (
        <Empty title="Nothing related" />
      ) : (
        <ul className="divide-y">
          {found.data.items.map((memory) => (
            <li key={memory.id} className="space-y-1.5 px-4 py-3 text-sm">
              <Link to="/memory/$id" params={{ id: memory.id }} className="line-clamp-3 break-words hover:underline">
                {memory.content}
              </Link>
              <Categories names={memory.categories ?? []} />
            </li>
          ))}
        </ul>
      )}
    </Panel>
  );
}
