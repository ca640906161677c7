import { AppWindow, LayoutDashboard } from "lucide-react";
import { hue } from "../lib/hue";

/** A sign for an app: its first letter, in a colour that is always the same for it. */
export function AppIcon({ name, size = 24 }: { name: string; size?: number }) {
  const color = hue(name);
  const background = `color-mix(in oklab, ${color} 14%, transparent)`;
  const letter = [...name.trim()][0]?.toUpperCase();
  return (
    <span
      aria-hidden
      style={{ width: size, height: size, fontSize: size * 0.5, color, background }}
      className="inline-flex shrink-0 items-center justify-center rounded-md font-semibold"
    >
      {name === "dashboard" ? <LayoutDashboard size={size * 0.6} /> : (letter ?? <AppWindow size={size * 0.6} />)}
    </span>
  );
}
