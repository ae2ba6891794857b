/**
 * A machine's memory of what was sent to it: one line per file, kept on its own disk, so that any computer's
 * next push can tell "unchanged", "changed here" and "edited there" apart without reading the files again.
 * Text, not JSON, because a shell script on the machine reads it too (templates/deploy-probe.sh).
 */
export interface SentFile {
  path: string;
  sha256: string;
  size: number;
  mode: number;
  /** Unix seconds that the file has on the machine's disk. */
  mtime: number;
  isLink: boolean;
}

/** `sha256 size mode mtime path` per line; mode is octal, or `link`. */
export function renderManifest(files: readonly SentFile[]): string {
  return files
    .map(
      ({ sha256, size, mode, mtime, isLink, path }) =>
        `${sha256} ${size} ${isLink ? "link" : mode.toString(8)} ${mtime} ${path}\n`,
    )
    .join("");
}

/** Lines that cannot be understood are passed over: such a file counts as never sent. */
export function parseManifest(text: string): SentFile[] {
  return text.split("\n").flatMap((line) => {
    const match = /^([0-9a-f]{64}) (\d+) (link|[0-7]+) (-?\d+) (.+)$/.exec(line);
    if (match === null) return [];
    const [, sha256 = "", size, mode = "", mtime, path = ""] = match;
    const isLink = mode === "link";
    return {
      path,
      sha256,
      size: Number(size),
      mode: isLink ? 0o644 : Number.parseInt(mode, 8),
      mtime: Number(mtime),
      isLink,
    };
  });
}
