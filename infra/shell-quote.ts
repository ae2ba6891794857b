/** Text as one word of a POSIX shell. */

/** Quotes only where quoting is needed, so that what people read stays readable. */
export function shellQuote(text: string): string {
  if (text !== "" && /^[A-Za-z0-9_@%+=:,./~-]+$/.test(text) && !text.startsWith("~")) return text;
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
