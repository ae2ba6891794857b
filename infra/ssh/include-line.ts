/**
 * The one line of ours in a person's `~/.ssh/config`, as pure text operations.
 * It goes to the very top: OpenSSH takes the first value that it meets, so there it works whatever follows, and
 * an Include does not change what the lines below it apply to. Removing it gives back the very same bytes.
 */

/** `text` with the Include line first, in the file's own style of line ends; unchanged when it is there already. */
export function withInclude(text: string, include: string): string {
  if (isInEffect(text, include)) return text;
  return `${include}${lineEndOf(text)}${withoutInclude(text, include)}`;
}

/** `text` without the Include line, wherever somebody may have moved it. */
export function withoutInclude(text: string, include: string): string {
  return linesOf(text)
    .filter((line) => !isOurs(line, include))
    .join("");
}

/** Whether the line stands where it applies to every host: before the first Host or Match. */
function isInEffect(text: string, include: string): boolean {
  for (const line of linesOf(text)) {
    if (isOurs(line, include)) return true;
    if (/^\s*(host|match)\b/i.test(line)) return false;
  }
  return false;
}

function isOurs(line: string, include: string): boolean {
  return line.trim() === include;
}

/** The file's lines, each with its own line end. */
function linesOf(text: string): string[] {
  return text.match(/[^\n]*\n|[^\n]+$/g) ?? [];
}

function lineEndOf(text: string): string {
  return /^[^\n]*\r\n/.test(text) ? "\r\n" : "\n";
}
