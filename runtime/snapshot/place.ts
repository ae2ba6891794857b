/**
 * Puts a verified snapshot into a workspace. A file that is as it was when it was changed elsewhere gets the change;
 * where there is another version, both stay: that one in its place, the machine's beside the project. Nothing outside
 * of the two folders is ever written, and no link is followed. Done twice, it changes nothing more.
 */
import { chmodSync, copyFileSync, mkdirSync, renameSync, rmdirSync, rmSync, utimesSync } from "node:fs";
import { dirname, join } from "node:path";
import { messageOf } from "../../common/errors.ts";
import type { Log } from "../../common/log.ts";
import { hashOf } from "./hash-of.ts";
import type { SnapshotFile, SnapshotIndex } from "./index-file.ts";
import { lookUp } from "./look-up.ts";
import type { Place } from "./scan.ts";

export interface Placed {
  restored: string[];
  deleted: string[];
  /** Changed on both sides. */
  conflicts: string[];
  /** Where the machine's versions of those are. */
  conflictFolder: string;
}

export interface PlaceOptions extends Place {
  index: SnapshotIndex;
  /** Where a file of the snapshot lies, verified; it is taken from there. */
  sourceOf(area: "project" | "conflicts", path: string): string;
  /** Hashes of what this disk itself has saved last: versions that went into the snapshot. */
  saved: Readonly<Record<string, string>>;
  log: Log;
}

export async function placeSnapshot({
  index,
  project,
  conflicts,
  sourceOf,
  saved,
  log,
}: PlaceOptions): Promise<Placed> {
  const conflictFolder = join(conflicts, index.time.replace(/\..*|[-:Z]/g, ""));
  const placed: Placed = { restored: [], deleted: [], conflicts: [], conflictFolder };
  const isKnown = (hash: string | null, path: string, base: string | null) =>
    hash === base || (Object.hasOwn(saved, path) && hash === saved[path]);

  for (const file of index.files) {
    const { path, baseSha256 } = file;
    await attempt(path, async () => {
      const current = await currentOf(project, path);
      if (current === file.sha256) return chmodSync(join(project, path), file.mode);
      const isFree = isKnown(current, path, baseSha256);
      put(sourceOf("project", path), join(isFree ? project : conflictFolder, path), file);
      (isFree ? placed.restored : placed.conflicts).push(path);
    });
  }
  for (const { path, baseSha256 } of index.deleted) {
    await attempt(path, async () => {
      const current = await currentOf(project, path);
      if (current === null) return;
      if (!isKnown(current, path, baseSha256)) {
        return log(`${path} was deleted on the machine before, but the deploy has brought another version: it stays`);
      }
      rmSync(join(project, path));
      removeEmptyFolders(project, dirname(path));
      placed.deleted.push(path);
    });
  }
  for (const file of index.conflicts) {
    await attempt(file.path, async () => {
      if (lookUp(conflicts, file.path) !== undefined) return;
      put(sourceOf("conflicts", file.path), join(conflicts, file.path), file);
    });
  }
  return placed;

  /** One file that cannot be placed must not keep the others from it. */
  async function attempt(path: string, act: () => Promise<void>): Promise<void> {
    try {
      await act();
    } catch (error) {
      log(`${path} could not be brought back: ${messageOf(error)}`);
    }
  }
}

/** Hash of the project's file; null: not there; "other": a folder, a link, or something behind one. */
async function currentOf(project: string, path: string): Promise<string | null> {
  const stat = lookUp(project, path);
  if (stat === undefined) return null;
  if (stat === "behind" || !stat.isFile()) return "other";
  return (await hashOf(join(project, path))) ?? null;
}

function put(source: string, target: string, { mtime, mode }: SnapshotFile): void {
  mkdirSync(dirname(target), { recursive: true });
  chmodSync(source, mode);
  utimesSync(source, mtime, mtime);
  try {
    renameSync(source, target);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EXDEV") throw error;
    // The project is a disk of its own. Beside the target first, so that the file is whole whenever this ends.
    const beside = `${target}.vastlane-new`;
    copyFileSync(source, beside);
    utimesSync(beside, mtime, mtime);
    renameSync(beside, target);
  }
}

function removeEmptyFolders(root: string, folder: string): void {
  try {
    for (let path = folder; path !== "."; path = dirname(path)) rmdirSync(join(root, path));
  } catch {
    // not empty
  }
}
