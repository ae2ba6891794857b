/**
 * Holds a checkpoint's files while they are uploaded. The command may prune the folder meanwhile, so its files are
 * hard-linked (copied, where links fail) into a place of ours. Their names there say which file they are (number, inode,
 * length, time), so a killed upload finds them again, with its notes beside them, and never takes one for another.
 */
import {
  constants,
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
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
    const { ino, size, mtimeNs } = statSync(join(folder, path), { bigint: true });
    const file = join(held, `${String(index).padStart(6, "0")}-${ino}-${size}-${mtimeNs}`);
    hold(join(folder, path), file);
    return { path, bytes, file };
  });
  const wanted = new Set(files.flatMap(({ file }) => [basename(file), `${basename(file)}.upload`]));
  for (const name of readdirSync(held)) if (!wanted.has(name)) rmSync(join(held, name), { force: true });
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
  if (existsSync(file)) return;
  try {
    linkSync(source, file);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOSPC") throw error;
    copyFileSync(source, `${file}.copying`, constants.COPYFILE_FICLONE);
    renameSync(`${file}.copying`, file);
  }
}
