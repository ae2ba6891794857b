/**
 * What a person (or the run) has changed in the project on this machine since it was sent there: files that are new or
 * different, and files that are gone. Ignore files hold, secrets stay out, large files are left out and named.
 */
import { lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { readFileIfThere } from "../../common/files.ts";
import { ignoreRules } from "../../common/ignore-rules.ts";
import { neverSent } from "../../common/never-sent.ts";
import type { SentFile } from "../../common/sent-files.ts";

export interface ScannedFile {
  /** Relative to the project, `/` between folders. */
  path: string;
  size: number;
  mode: number;
  /** Unix seconds. */
  mtime: number;
  /** SHA-256 of what was sent under this name; null: nothing was. */
  baseSha256: string | null;
}

export interface Scan {
  changed: ScannedFile[];
  /** Sent, and no longer there. */
  deleted: { path: string; baseSha256: string }[];
  leftOut: { path: string; reason: string }[];
}

export interface Caps {
  fileBytes: number;
  totalBytes: number;
}

export const CAPS: Caps = { fileBytes: 10e6, totalBytes: 100e6 };

/** Of 100 MB of small files the newest count: they are what somebody works on. */
export function scanProject(project: string, sent: readonly SentFile[], caps: Caps = CAPS): Scan {
  const bases = new Map(sent.map((file) => [file.path, file]));
  const scan: Scan = { changed: [], deleted: [], leftOut: [] };
  for (const file of walk(project)) {
    const base = bases.get(file.path);
    bases.delete(file.path);
    if (base && !base.isLink && base.size === file.size && base.mtime === file.mtime) continue;
    if (file.size > caps.fileBytes) {
      scan.leftOut.push({ path: file.path, reason: `larger than ${megabytes(caps.fileBytes)}` });
      continue;
    }
    scan.changed.push({ ...file, baseSha256: base && !base.isLink ? base.sha256 : null });
  }
  for (const { path, sha256, isLink } of bases.values()) {
    if (!isLink && !exists(join(project, path))) scan.deleted.push({ path, baseSha256: sha256 });
  }
  return withinTotal(scan, caps);
}

/** Changes with everything that a snapshot would hold. */
export function fingerprintOf({ changed, deleted }: Scan): string {
  const files = changed.map(({ path, size, mtime, mode }) => `${path}\0${size}\0${mtime}\0${mode}`);
  return [...files, "", ...deleted.map(({ path }) => path)].join("\n");
}

function withinTotal(scan: Scan, { totalBytes }: Caps): Scan {
  let sum = 0;
  const kept = new Set<ScannedFile>();
  for (const file of [...scan.changed].sort((a, b) => b.mtime - a.mtime)) {
    sum += file.size;
    if (sum <= totalBytes) kept.add(file);
    else scan.leftOut.push({ path: file.path, reason: `the changed files are more than ${megabytes(totalBytes)}` });
  }
  return { ...scan, changed: scan.changed.filter((file) => kept.has(file)) };
}

const megabytes = (bytes: number) => `${bytes / 1e6} MB`;

function walk(project: string): Omit<ScannedFile, "baseSha256">[] {
  const rulesOf = (name: string) => ignoreRules((folder) => readFileIfThere(join(project, folder, name)));
  const rules = [rulesOf(".gitignore"), rulesOf(".vastlaneignore")];
  const found: Omit<ScannedFile, "baseSha256">[] = [];
  const enter = (folder: string) => {
    for (const entry of list(join(project, folder))) {
      const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
      if (neverSent(path) !== undefined || /[\n\r\\]/.test(path)) continue;
      if (rules.some((isIgnored) => isIgnored(path, entry.isDirectory()))) continue;
      if (entry.isDirectory()) enter(path);
      else if (entry.isFile()) {
        const stat = lstatSync(join(project, path), { throwIfNoEntry: false });
        if (!stat) continue;
        found.push({ path, size: stat.size, mode: stat.mode & 0o777, mtime: Math.floor(stat.mtimeMs / 1000) });
      }
    }
  };
  enter("");
  return found.sort((a, b) => (a.path < b.path ? -1 : 1));
}

function list(folder: string) {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch {
    return []; // gone meanwhile
  }
}

function exists(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}
