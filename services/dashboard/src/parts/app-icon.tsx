import { AppWindow, LayoutDashboard } from "lucide-react";
import { cx } from "../lib/cx";

const HUES = ["text-accent", "text-good", "text-warn", "text-bad", "text-soft"];

/** A sign for an app: its first letter, in a colour that is always the same for it. */
export function AppIcon({ name, size = 24 }: { name: string; size?: number }) {
  const hue = HUES[[...name].reduce((sum, char) => sum + (char.codePointAt(0) ?? 0), 0) % HUES.length];
  const letter = [...name.trim()][0]?.toUpperCase();
  return (
    <span
      aria-hidden
      style={{ width: size, height: size, fontSize: size * 0.5 }}
      className={cx("inline-flex shrink-0 items-center justify-center rounded-md bg-sunken font-semibold", hue)}
    >
      {name === "dashboard" ? <LayoutDashboard size={size * 0.6} /> : (letter ?? <AppWindow size={size * 0.6} />)}
    </span>
  );
}
