/**
 * Holds a checkpoint's files while they are uploaded. The command may prune the folder meanwhile, so its files are
 * hard-linked (copied, where links fail) into a place of ours. They are named by number there: what the upload notes
 * beside them can never meet a file of the checkpoint. A killed upload finds them, with its notes, again.
 */
import { constants, copyFileSync, linkSync, mkdirSync, readdirSync, rmSync, statSync, utimesSync } from "node:fs";
import { basename, join } from "node:path";
import { listFiles } from "./manifest.ts";

export interface StagedFile {
  /** Of the checkpoint, relative to its folder. */
  path: string;
  bytes: number;
  /** Where it is held. */
  file: string;
}

/** The checkpoint's files as they are now, held in `<outgoing>/<name of the folder>`. */
export function stageFolder(folder: string, outgoing: string): { files: StagedFile[]; release(): void } {
  const held = join(outgoing, basename(folder));
  mkdirSync(held, { recursive: true });
  const files = listFiles(folder).map(({ path, bytes }, index) => {
    const file = join(held, String(index).padStart(6, "0"));
    hold(join(folder, path), file);
    return { path, bytes, file };
  });
  const wanted = new Set(files.map(({ file }) => basename(file)));
  for (const name of readdirSync(held)) {
    if (!wanted.has(name.replace(/\..*$/, ""))) rmSync(join(held, name), { force: true });
  }
  return { files, release: () => rmSync(held, { recursive: true, force: true }) };
}

/** Lets go of what earlier uploads have held, but for the named folders. */
export function releaseOthers(outgoing: string, keep: readonly string[]): void {
  let names: string[];
  try {
    names = readdirSync(outgoing);
  } catch {
    return; // nothing was ever held
  }
  for (const name of names) if (!keep.includes(name)) rmSync(join(outgoing, name), { recursive: true, force: true });
}

function hold(source: string, file: string): void {
  if (isSame(source, file)) return;
  for (const left of [file, `${file}.upload`]) rmSync(left, { force: true });
  try {
    linkSync(source, file);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOSPC") throw error;
    copyFileSync(source, file, constants.COPYFILE_FICLONE);
    const { atime, mtime } = statSync(source);
    utimesSync(file, atime, mtime);
  }
}

function isSame(source: string, file: string): boolean {
  const [a, b] = [statSync(source), statSync(file, { throwIfNoEntry: false })];
  if (!b) return false;
  const isLink = a.ino === b.ino && a.dev === b.dev;
  return isLink || (a.size === b.size && Math.abs(a.mtimeMs - b.mtimeMs) < 1);
}
