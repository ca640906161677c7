import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api, body, type Schemas } from "../api/client";
import { deadLetter, deadLetters } from "../api/operating";
import { plural } from "../lib/format";
import { Button } from "../ui/button";
import { Confirm, Dialog } from "../ui/dialog";
import { Found } from "../ui/found";
import { Json } from "../ui/json";
import { Badge, PageHead, Panel } from "../ui/panel";
import { Empty } from "../ui/states";
import { useToast } from "../ui/toast";
import { When } from "../ui/when";

export function DeadLettersPage() {
  const [after, setAfter] = useState(0);
  const [shown, setShown] = useState<number | null>(null);
  const [dropping, setDropping] = useState<Schemas["DeadLetter"] | null>(null);
  const found = useQuery(deadLetters(after));
  const queries = useQueryClient();
  const toast = useToast();
  const settled = () => queries.invalidateQueries();
  const said = (result: Schemas["Redriven"]) =>
    result.error ? toast.failed(result.error) : toast.done(result.status === "healed" ? "Healed." : "Sent again.");
  const redrive = useMutation({
    mutationFn: (id: number) =>
      body(api.POST("/api/v1/dead-letters/{letter_id}/redrive", { params: { path: { letter_id: id } } })),
    onSuccess: said,
    onError: toast.failed,
    onSettled: settled,
  });
  const redriveAll = useMutation({
    mutationFn: () => body(api.POST("/api/v1/dead-letters/redrive", {})),
    onSuccess: ({ results }) => {
      const failed = results.filter((each) => each.status === "failed").length;
      if (failed > 0) toast.failed(`${plural(failed, "letter")} failed again.`);
      else toast.done(`${plural(results.length, "letter")} tried again.`);
    },
    onError: toast.failed,
    onSettled: settled,
  });
  const drop = useMutation({
    mutationFn: (id: number) =>
      body(api.DELETE("/api/v1/dead-letters/{letter_id}", { params: { path: { letter_id: id } } })),
    onSuccess: () => toast.done("Skipped. What waited behind it goes on."),
    onError: toast.failed,
    onSettled: settled,
  });
  const letters = found.data?.dead_letters ?? [];
  return (
    <>
      <PageHead
        title="Dead letters"
        hint="Messages that could not be processed. Whatever they concern waits for them; everything else goes on."
      >
        {letters.length > 0 && (
          <Button kind="primary" busy={redriveAll.isPending} onClick={() => redriveAll.mutate()}>
            Try all again
          </Button>
        )}
      </PageHead>
      <Panel>
        <Found query={found}>
          {() =>
            letters.length === 0 ? (
              <Empty title="No dead letters">Every part of Memlog could process all that it was sent.</Empty>
            ) : (
              <ul className="divide-y">
                {letters.map((letter) => (
                  <li key={letter.id} className="flex flex-wrap items-center gap-x-3 gap-y-1.5 px-4 py-3 text-sm">
                    <Badge tone="warn">{letter.consumer}</Badge>
                    <span className="font-medium">{letter.aggregate.kind}</span>
                    <span className="min-w-0 grow break-words text-soft">{letter.reason}</span>
                    <span className="text-soft">
                      <When time={letter.at} />
                    </span>
                    <span className="flex gap-2">
                      <Button small onClick={() => setShown(letter.id)}>
                        Show
                      </Button>
                      <Button small busy={redrive.isPending} onClick={() => redrive.mutate(letter.id)}>
                        Try again
                      </Button>
                      <Button small kind="removal" onClick={() => setDropping(letter)}>
                        Skip
                      </Button>
                    </span>
                  </li>
                ))}
              </ul>
            )
          }
        </Found>
        {(after > 0 || found.data?.next != null) && (
          <div className="flex justify-end gap-2 border-t px-4 py-2.5">
            <Button small disabled={after === 0} onClick={() => setAfter(0)}>
              First page
            </Button>
            <Button small disabled={found.data?.next == null} onClick={() => setAfter(found.data?.next ?? 0)}>
              Next page
            </Button>
          </div>
        )}
      </Panel>
      {shown !== null && <Letter id={shown} onClose={() => setShown(null)} />}
      {dropping && (
        <Confirm
          open
          title="Skip this message for good?"
          description={`${dropping.consumer} will never apply it, and goes on with what waits behind it. The log keeps the message.`}
          confirm="Skip it"
          onClose={() => setDropping(null)}
          onConfirm={() => drop.mutate(dropping.id)}
        />
      )}
    </>
  );
}

function Letter({ id, onClose }: { id: number; onClose: () => void }) {
  const found = useQuery(deadLetter(id));
  return (
    <Dialog open onClose={onClose} title="Dead letter">
      <Found query={found}>
        {(letter) => (
          <>
            <p className="mb-3 text-sm break-words">{letter.reason}</p>
            <Json value={letter} />
          </>
        )}
      </Found>
    </Dialog>
  );
}
