/** A word of a command. Double quotes, where they do, are those of every shell, the ones of Windows too. */
export function shell(word: string): string {
  if (/^[\w@%+=:,./-]+$/.test(word)) return word;
  return /^[\w@%+=:,./<> -]+$/.test(word) ? `"${word}"` : `'${word.replaceAll("'", `'\\''`)}'`;
}
