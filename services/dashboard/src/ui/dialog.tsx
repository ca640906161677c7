import { X } from "lucide-react";
import { Dialog as Radix, AlertDialog as RadixAlert } from "radix-ui";
import { type ReactNode, useState } from "react";
import { Button, IconButton } from "./button";

const OVERLAY = "fixed inset-0 z-40 bg-black/50";
const PANEL =
  "fixed left-1/2 top-1/2 z-50 max-h-[90dvh] w-[min(36rem,calc(100vw-2rem))] -translate-x-1/2 -translate-y-1/2 overflow-y-auto rounded-xl border bg-raised p-5 shadow-2xl";

/** Gives the focus back to what opened the dialog: of a menu, its button. Call it while that still has the focus. */
function useOpener(): (event: Event) => void {
  const [opener] = useState(() => {
    const menu = document.activeElement?.closest("[role=menu]")?.getAttribute("aria-labelledby");
    return menu ? document.getElementById(menu) : document.activeElement;
  });
  return (event) => {
    event.preventDefault();
    if (opener instanceof HTMLElement) opener.focus();
  };
}

type Props = { open: boolean; onClose: () => void; title: string; description?: ReactNode; children: ReactNode };

export function Dialog({ open, ...rest }: Props) {
  return open && <OpenDialog {...rest} />;
}

function OpenDialog({ onClose, title, description, children }: Omit<Props, "open">) {
  const giveBack = useOpener();
  return (
    <Radix.Root open onOpenChange={(now) => !now && onClose()}>
      <Radix.Portal>
        <Radix.Overlay className={OVERLAY} />
        <Radix.Content
          className={PANEL}
          onCloseAutoFocus={giveBack}
          {...(description ? {} : { "aria-describedby": undefined })}
        >
          <div className="mb-4 flex items-start justify-between gap-4">
            <div>
              <Radix.Title className="text-lg font-semibold">{title}</Radix.Title>
              {description && <Radix.Description className="mt-1 text-sm text-soft">{description}</Radix.Description>}
            </div>
            <Radix.Close asChild>
              <IconButton label="Close">
                <X size={16} />
              </IconButton>
            </Radix.Close>
          </div>
          {children}
        </Radix.Content>
      </Radix.Portal>
    </Radix.Root>
  );
}

type ConfirmProps = {
  open: boolean;
  onClose: () => void;
  onConfirm: () => void;
  title: string;
  description: ReactNode;
  confirm: string;
};

/** Asks before something that cannot be undone. */
export function Confirm({ open, ...rest }: ConfirmProps) {
  return open && <OpenConfirm {...rest} />;
}

function OpenConfirm({ onClose, onConfirm, title, description, confirm }: Omit<ConfirmProps, "open">) {
  const giveBack = useOpener();
  return (
    <RadixAlert.Root open onOpenChange={(now) => !now && onClose()}>
      <RadixAlert.Portal>
        <RadixAlert.Overlay className={OVERLAY} />
        <RadixAlert.Content className={PANEL} onCloseAutoFocus={giveBack}>
          <RadixAlert.Title className="text-lg font-semibold">{title}</RadixAlert.Title>
          <RadixAlert.Description className="mt-2 text-sm text-soft">{description}</RadixAlert.Description>
          <div className="mt-5 flex justify-end gap-2">
            <RadixAlert.Cancel asChild>
              <Button>Cancel</Button>
            </RadixAlert.Cancel>
            <RadixAlert.Action asChild>
              <Button kind="danger" onClick={onConfirm}>
                {confirm}
              </Button>
            </RadixAlert.Action>
          </div>
        </RadixAlert.Content>
      </RadixAlert.Portal>
    </RadixAlert.Root>
  );
}
