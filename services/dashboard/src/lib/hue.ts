/** The colours that names can have, as CSS. */
const hues: readonly string[] = Array.from({ length: 8 }, (_, place) => `var(--hue-${place + 1})`);

/** With it the clients that most people have get colours of their own. */
const SEED = 292;

/** The colour that stands for a name: always the same one, in icons and charts alike. */
export function hue(name: string): string {
  const hash = [...name].reduce((sum, char) => (sum * 31 + (char.codePointAt(0) ?? 0)) % 1_000_003, SEED);
  return hues[hash % hues.length] ?? "";
}
