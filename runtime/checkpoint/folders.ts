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
import { namesIn } from "../../common/files.ts";

/** Full paths of the finished checkpoints in `dir`, oldest first; none when there is no such directory. */
export function listCheckpoints(dir: string): string[] {
  let names: string[];
  try {
    names = readdirSync(dir, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && isFinishedName(entry.name))
      .map((entry) => entry.name)
      .filter((name) => namesIn(join(dir, name)).length > 0); // an empty or vanished one is nothing to go on from
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
 * checkpoints only, and the older one is not lost (`recoverReplaced`).
 */
export function publishCheckpoint(dir: string, name: string, fill: (folder: string) => void): string {
  const unfinished = startFolder(dir);
  try {
    fill(unfinished);
    syncTree(unfinished);
    return placeFolder(unfinished, dir, name);
  } catch (error) {
    rmSync(unfinished, { recursive: true, force: true });
    throw error;
  }
}

/** Like `publishCheckpoint`, for what is written beside other work. `fill` syncs the files that it writes. */
export async function writeCheckpoint(dir: string, name: string, fill: (folder: string) => Promise<void>) {
  const unfinished = startFolder(dir);
  try {
    await fill(unfinished);
    sync(unfinished);
    return placeFolder(unfinished, dir, name);
  } catch (error) {
    rmSync(unfinished, { recursive: true, force: true });
    throw error;
  }
}

/** Puts a finished folder of the same disk into place under its name. */
export function placeFolder(finished: string, dir: string, name: string): string {
  const path = join(dir, name);
  const replaced = join(dir, `${REPLACED}${name}`);
  rmSync(replaced, { recursive: true, force: true });
  if (existsSync(path)) renameSync(path, replaced);
  renameSync(finished, path);
  sync(dir);
  rmSync(replaced, { recursive: true, force: true });
  return path;
}

/** Puts back what a writer had moved aside for a new one of the same name when it was killed. */
export function recoverReplaced(dir: string): void {
  for (const entry of namesIn(dir).filter((name) => name.startsWith(REPLACED))) {
    const path = join(dir, entry.slice(REPLACED.length));
    if (existsSync(path)) rmSync(join(dir, entry), { recursive: true, force: true });
    else renameSync(join(dir, entry), path);
  }
}

/** Removes all but the newest `keepLast` checkpoints, and what killed writers have left half done. */
export function pruneCheckpoints(dir: string, keepLast: number): void {
  recoverReplaced(dir);
  const surplus = listCheckpoints(dir).slice(0, -Math.max(1, keepLast));
  const unfinished = namesIn(dir).filter((name) => name.startsWith(UNFINISHED));
  for (const path of [...surplus, ...unfinished.map((name) => join(dir, name))]) {
    rmSync(path, { recursive: true, force: true });
  }
}

/** The step in a checkpoint folder's name: its last number; undefined when it has none. */
export function stepInName(folder: string): number | undefined {
  return numberIn(folder);
}

const UNFINISHED = ".unfinished-";
const REPLACED = ".replaced-";

function startFolder(dir: string): string {
  mkdirSync(dir, { recursive: true });
  return mkdtempSync(join(dir, UNFINISHED));
}

function syncTree(folder: string): void {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) syncTree(path);
    else if (entry.isFile()) sync(path);
  }
  sync(folder);
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
