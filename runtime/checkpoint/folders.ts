/**
 * Checkpoints on the local disk: finished folders inside one directory. A folder is finished because it has its
 * final name: writers fill a hidden one and rename it. Used by the agent (which one to resume from) and by
 * experiments (publish, prune).
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { basename, join } from "node:path";

/** Full paths of the finished checkpoints in `dir`, oldest first; none when there is no such directory. */
export function listCheckpoints(dir: string): string[] {
  let names: string[];
  try {
    names = readdirSync(dir, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && isFinishedName(entry.name))
      .map((entry) => entry.name);
  } catch {
    return [];
  }
  const found = names.map((name) => ({ path: join(dir, name), number: numberIn(name), changed: changedMs(dir, name) }));
  // Numbered names (step-200, checkpoint-1000) are ordered by number; others by time. Copies lose their times.
  const areNumbered = found.every((checkpoint) => checkpoint.number !== undefined);
  found.sort((a, b) => (areNumbered ? (a.number ?? 0) - (b.number ?? 0) : 0) || a.changed - b.changed);
  return found.map((checkpoint) => checkpoint.path);
}

export function newestCheckpoint(dir: string): string | undefined {
  return listCheckpoints(dir).at(-1);
}

/**
 * Makes the checkpoint `name` in `dir`: `fill` writes files into a hidden folder, which is synced to the disk and
 * renamed. An older one of that name is replaced. Whatever moment the process dies at, `dir` lists whole
 * checkpoints only.
 */
export function publishCheckpoint(dir: string, name: string, fill: (folder: string) => void): string {
  mkdirSync(dir, { recursive: true });
  const unfinished = mkdtempSync(join(dir, ".unfinished-"));
  try {
    fill(unfinished);
    for (const file of readdirSync(unfinished)) sync(join(unfinished, file));
    sync(unfinished);
    const path = join(dir, name);
    const replaced = `${unfinished}-replaced`;
    if (existsSync(path)) renameSync(path, replaced);
    renameSync(unfinished, path);
    sync(dir);
    rmSync(replaced, { recursive: true, force: true });
    return path;
  } catch (error) {
    rmSync(unfinished, { recursive: true, force: true });
    throw error;
  }
}

/** Removes all but the newest `keepLast` checkpoints, and what killed writers have left half done. */
export function pruneCheckpoints(dir: string, keepLast: number): void {
  const surplus = listCheckpoints(dir).slice(0, -Math.max(1, keepLast));
  const unfinished = readdirSync(dir).filter((name) => name.startsWith(".unfinished-"));
  for (const path of [...surplus, ...unfinished.map((name) => join(dir, name))]) {
    rmSync(path, { recursive: true, force: true });
  }
}

function isFinishedName(name: string): boolean {
  return !name.startsWith(".") && !/\.(tmp|partial|incomplete)$/.test(name);
}

/** The last number in the name: 200 for `step-00000200`. */
function numberIn(name: string): number | undefined {
  const digits = /(\d+)\D*$/.exec(basename(name))?.[1];
  return digits === undefined ? undefined : Number(digits);
}

function changedMs(dir: string, name: string): number {
  try {
    return statSync(join(dir, name)).mtimeMs;
  } catch {
    return 0;
  }
}

function sync(path: string): void {
  const file = openSync(path, "r");
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
