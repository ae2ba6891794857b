/**
 * Which parts of a file are already across: a small text beside the file, one JSON line a part, so that a killed
 * transfer goes on where it was. It is never trusted further than that: what it belongs to stands in its first line,
 * and a line that a kill has cut is not there.
 */
import { appendFileSync, rmSync, writeFileSync } from "node:fs";
import { readFileIfThere } from "../../common/files.ts";

export interface PartLog {
  get(name: string | number): string | undefined;
  note(name: string | number, value: string): void;
  /** Forgets all parts: the transfer begins again. */
  reset(): void;
  remove(): void;
}

/**
 * A full disk costs the notes, not the transfer: uploads are what lets old checkpoints go.
 * `identity`: of which file and object this is a transfer; a log of any other is discarded.
 */
export function openPartLog(path: string, identity: Record<string, string | number>): PartLog {
  const head = JSON.stringify(identity);
  const [found, ...lines] = (readFileIfThere(path) ?? "").split("\n");
  let parts = new Map<string, string>();
  const isOurs = found === head && lines.length > 0;
  if (isOurs) {
    // The text after the last line break is empty or cut.
    for (const line of lines.slice(0, -1)) {
      const entry = parse(line);
      if (entry) parts.set(...entry);
    }
  }
  if (!isOurs || lines.at(-1) !== "") rewrite();

  function rewrite(): void {
    const lines = [head, ...[...parts].map((entry) => JSON.stringify(entry)), ""];
    unlessFull(() => writeFileSync(path, lines.join("\n"), { mode: 0o600 }));
  }

  return {
    get: (name) => parts.get(String(name)),
    note(name, value) {
      parts.set(String(name), value);
      unlessFull(() => appendFileSync(path, `${JSON.stringify([String(name), value])}\n`));
    },
    reset() {
      parts = new Map();
      rewrite();
    },
    remove: () => rmSync(path, { force: true }),
  };
}

function unlessFull(write: () => void): void {
  try {
    write();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "ENOSPC" && code !== "EDQUOT") throw error;
  }
}

function parse(line: string): [string, string] | undefined {
  try {
    const [name, value] = JSON.parse(line) as unknown[];
    return typeof name === "string" && typeof value === "string" ? [name, value] : undefined;
  } catch {
    return undefined;
  }
}
