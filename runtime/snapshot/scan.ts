/**
 * What a person (or the run) has changed in the project on this machine since it was sent there: files that are new or
 * different, and files that are gone; and what earlier restores have put beside the project. Ignore files hold,
 * secrets stay out, large files are left out; what is left out is named. It gives way to other work every so often.
 */
import { lstatSync, readdirSync, type Stats } from "node:fs";
import { join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { readFileIfThere } from "../../common/files.ts";
import { type IsIgnored, ignoreRules } from "../../common/ignore-rules.ts";
import { neverSent } from "../../common/never-sent.ts";
import type { SentFile } from "../../common/sent-files.ts";
import { lookUp } from "./look-up.ts";

export interface FoundFile {
  /** Relative to its folder, `/` between folders. */
  path: string;
  size: number;
  mode: number;
  /** Unix seconds. */
  mtime: number;
}

export interface ChangedFile extends FoundFile {
  /** The file that was sent under this name; null: none was. */
  base: SentFile | null;
}

export interface LeftOut {
  path: string;
  reason: string;
}

export interface Scan {
  changed: ChangedFile[];
  conflicts: FoundFile[];
  /** Sent, and no longer there. */
  deleted: { path: string; baseSha256: string }[];
  leftOut: LeftOut[];
}

export interface Caps {
  fileBytes: number;
  totalBytes: number;
  /** Files in a snapshot. */
  files: number;
  /** Files and folders that are looked at. */
  entries: number;
}

export const CAPS: Caps = { fileBytes: 10e6, totalBytes: 100e6, files: 20_000, entries: 200_000 };

export interface Place {
  project: string;
  /** Where restores put versions that were changed on both sides. */
  conflicts: string;
}

/** Of more than fits, the newest files count: they are what somebody works on. */
export async function scanWorkspace(place: Place, sent: readonly SentFile[], caps: Caps = CAPS): Promise<Scan> {
  const bases = new Map(sent.map((file) => [file.path, file]));
  const { found, leftOut } = await walk(place.project, caps, ignoredBy(place.project), bases);
  const scan: Scan = { changed: [], conflicts: [], deleted: [], leftOut };
  for (const file of found) {
    const base = bases.get(file.path);
    if (base && !base.isLink && isAsSent(file, base)) continue;
    scan.changed.push({ ...file, base: base && !base.isLink ? base : null });
  }
  for (const { path, sha256, isLink } of sent) {
    if (!isLink && lookUp(place.project, path) === undefined) scan.deleted.push({ path, baseSha256: sha256 });
  }
  const beside = await walk(place.conflicts, caps, () => false, new Map());
  scan.conflicts = beside.found;
  return withinCaps(scan, caps);
}

/** Changes with everything that a snapshot would hold; from times and sizes alone. */
export function fingerprintOf({ changed, conflicts, deleted }: Scan): string {
  const line = ({ path, size, mtime, mode }: FoundFile) => `${path}\0${size}\0${mtime}\0${mode}`;
  const parts = [changed.map(line), conflicts.map(line), deleted.map(({ path }) => path)];
  return parts.map((lines) => lines.join("\n")).join("\n\n");
}

function isAsSent(file: FoundFile, base: SentFile): boolean {
  return base.size === file.size && base.mtime === file.mtime && isSameMode(base.mode, file.mode);
}

/** Of modes, only the bit that makes a program of a file ever travels. */
export function isSameMode(one: number, other: number): boolean {
  return (one & 0o100) === (other & 0o100);
}

function ignoredBy(project: string): IsIgnored {
  const rulesOf = (name: string) => ignoreRules((folder) => readFileIfThere(join(project, folder, name)));
  const [git, own] = [rulesOf(".gitignore"), rulesOf(".vastlaneignore")];
  return (path, isDirectory) => git(path, isDirectory) || own(path, isDirectory);
}

const GIVE_WAY_AFTER = 500;

/** `sent` is looked at whatever the ignore files say: git tracks files that its own rules would ignore. */
async function walk(root: string, caps: Caps, isIgnored: IsIgnored, sent: ReadonlyMap<string, SentFile>) {
  const found: FoundFile[] = [];
  const leftOut: LeftOut[] = [];
  const seen = new Set<string>();
  let entries = 0;
  const take = (path: string, stat: Stats | "behind" | undefined) => {
    seen.add(path);
    if (!stat || stat === "behind") return;
    if (stat.isSymbolicLink() && !sent.get(path)?.isLink) leftOut.push({ path, reason: "is a link" });
    if (!stat.isFile()) return;
    const reason = tooLarge(stat.size, caps);
    if (reason !== undefined) leftOut.push({ path, reason });
    else {
      found.push({
        path,
        size: stat.size,
        mode: stat.mode & 0o777,
        mtime: Math.max(0, Math.floor(stat.mtimeMs / 1000)),
      });
    }
  };
  const enter = async (folder: string): Promise<void> => {
    for (const entry of list(join(root, folder))) {
      entries += 1;
      if (entries % GIVE_WAY_AFTER === 0) await turn();
      if (entries > caps.entries) return;
      const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
      if (/[\n\r\\\uFFFD]/.test(entry.name)) leftOut.push({ path: JSON.stringify(path), reason: "has an odd name" });
      else if (neverSent(path) === "secret") leftOut.push({ path, reason: "looks like a secret" });
      else if (neverSent(path) === "silent" || isIgnored(path, entry.isDirectory())) continue;
      else if (entry.isDirectory()) await enter(path);
      else take(path, lstatSync(join(root, path), { throwIfNoEntry: false })); // reached through real folders
    }
  };
  await enter("");
  if (entries > caps.entries) leftOut.push({ path: root, reason: `has more than ${caps.entries} files` });
  for (const { path } of sent.values()) if (!seen.has(path)) take(path, lookUp(root, path));
  return { found: found.sort((a, b) => (a.path < b.path ? -1 : 1)), leftOut };
}

export function tooLarge(bytes: number, { fileBytes }: Caps): string | undefined {
  return bytes > fileBytes ? `larger than ${megabytes(fileBytes)}` : undefined;
}

function withinCaps(scan: Scan, { totalBytes, files }: Caps): Scan {
  let bytes = 0;
  let count = 0;
  const kept = new Set<FoundFile>();
  const leftOut = [...scan.leftOut];
  for (const file of [...scan.changed, ...scan.conflicts].sort((a, b) => b.mtime - a.mtime)) {
    bytes += file.size;
    count += 1;
    if (bytes <= totalBytes && count <= files) kept.add(file);
    else {
      const reason =
        count > files ? `more than ${files} files were changed` : `more than ${megabytes(totalBytes)} were changed`;
      leftOut.push({ path: file.path, reason });
    }
  }
  const ofKept = <T extends FoundFile>(list: T[]) => list.filter((file) => kept.has(file));
  return { ...scan, changed: ofKept(scan.changed), conflicts: ofKept(scan.conflicts), leftOut };
}

const megabytes = (bytes: number) => `${bytes / 1e6} MB`;

function list(folder: string) {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch {
    return []; // gone meanwhile, or never there
  }
}
