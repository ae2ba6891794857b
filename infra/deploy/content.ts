/**
 * What is sent to a machine, file by file, and one hash over all of it.
 * The hash says only what would arrive: paths, executable bits and bytes. It is the same on every computer that
 * has the same project, whatever its clock, user or file system, so that CI and a laptop agree on "unchanged".
 */
import { createHash } from "node:crypto";
import { closeSync, lstatSync, openSync, readlinkSync, readSync, type Stats } from "node:fs";
import { dirname, join, posix } from "node:path";
import { UserError } from "../../common/errors.ts";
import { looksSecret } from "../../common/never-sent.ts";
import { listFiles } from "./list-files.ts";

export interface ContentFile {
  /** Relative to the project, `/` between folders. */
  path: string;
  /** Bytes; of a link, the length of its target. */
  size: number;
  mode: 0o644 | 0o755;
  /** Target of a symbolic link, or null for a file. */
  link: string | null;
  /** Unix seconds, rounded down: what a machine's disk and every archive can hold. */
  mtime: number;
  /** Hex SHA-256 of the bytes, or of a link's target. */
  sha256: string;
}

export interface Content {
  /** Sorted by path. */
  files: ContentFile[];
  /** Hex SHA-256 over paths, modes and contents. */
  hash: string;
  bytes: number;
  /** Paths left out because they look like secrets, or cannot be sent; with the reason. */
  leftOut: { path: string; reason: string }[];
}

export interface ContentLimits {
  bytes: number;
  files: number;
}

/** Far above any project's code, far below a data set: those are staged, not synced at each `up`. */
export const CONTENT_LIMITS: ContentLimits = { bytes: 2e9, files: 50_000 };

/**
 * Reads the project's files under `sync`.
 * @throws UserError VL_BAD_CONFIG for a wrong `sync`, VL_DEPLOY_FAILED when there is far too much to send.
 */
export function readContent(root: string, sync: readonly string[], limits: ContentLimits = CONTENT_LIMITS): Content {
  const { paths, secrets } = listFiles(root, sync);
  const leftOut = secrets.map((path) => ({ path, reason: "looks like a secret" }));
  const stats = paths.flatMap((path): [string, Stats][] => {
    const stat = lstatSync(join(root, path), { throwIfNoEntry: false });
    if (stat === undefined) return []; // removed since it was listed
    const reason = whyUnsendable(path, stat, root);
    if (reason !== undefined) leftOut.push({ path, reason });
    return reason === undefined ? [[path, stat]] : [];
  });
  refuseTooMuch(stats, limits);
  const files = stats.flatMap(([path, stat]) => {
    const file = readOne(root, path, stat);
    if (file === undefined) leftOut.push({ path, reason: "looks like a secret" });
    return file ?? [];
  });
  return { files, hash: hashOf(files), bytes: files.reduce((sum, file) => sum + file.size, 0), leftOut };
}

function whyUnsendable(path: string, stat: Stats, root: string): string | undefined {
  if (/[\n\r\0]/.test(path)) return "has a line break in its name";
  if (stat.isSymbolicLink()) {
    const target = readlinkSync(join(root, path));
    const inside = posix.normalize(posix.join(dirname(path), target));
    return target.startsWith("/") || inside.startsWith("..") ? "is a link that leads out of the project" : undefined;
  }
  return stat.isFile() ? undefined : "is neither a file nor a link";
}

function refuseTooMuch(stats: readonly [string, Stats][], limits: ContentLimits): void {
  const bytes = stats.reduce((sum, [, stat]) => sum + stat.size, 0);
  if (bytes <= limits.bytes && stats.length <= limits.files) return;
  throw new UserError("VL_DEPLOY_FAILED", {
    what: `the project has ${stats.length} files of ${sizeText(bytes)} to send; the limit is ${limits.files} files of ${sizeText(limits.bytes)}`,
    why: `the largest are\n${largest(stats)}`,
    hint: "put what the machine does not need into .vastlaneignore; stage data with vastlane:workspace.data",
  });
}

/** The folders right below the project, and single files, that weigh most: five lines. */
function largest(stats: readonly [string, Stats][]): string {
  const sums = new Map<string, { bytes: number; files: number }>();
  for (const [path, stat] of stats) {
    const top = path.includes("/") ? `${path.slice(0, path.indexOf("/"))}/` : path;
    const sum = sums.get(top) ?? { bytes: 0, files: 0 };
    sums.set(top, { bytes: sum.bytes + stat.size, files: sum.files + 1 });
  }
  return [...sums]
    .sort(([, a], [, b]) => b.bytes - a.bytes || b.files - a.files)
    .slice(0, 5)
    .map(([top, { bytes, files }]) => `${top}  ${sizeText(bytes)} in ${files} ${files === 1 ? "file" : "files"}`)
    .join("\n");
}

/** `12 kB`, in powers of 1000, two digits. */
export function sizeText(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 || value >= 9.95 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** Undefined when its first bytes show a secret. */
function readOne(root: string, path: string, stat: Stats): ContentFile | undefined {
  const mtime = Math.floor(stat.mtimeMs / 1000);
  if (stat.isSymbolicLink()) {
    const link = readlinkSync(join(root, path));
    const sha256 = createHash("sha256").update(link).digest("hex");
    return { path, size: Buffer.byteLength(link), mode: 0o644, link, mtime, sha256 };
  }
  const hash = createHash("sha256");
  const chunk = Buffer.allocUnsafe(Math.min(1 << 20, Math.max(stat.size + 1, 4096)));
  let size = 0;
  const file = openSync(join(root, path), "r");
  try {
    for (;;) {
      const length = readSync(file, chunk, 0, chunk.length, null);
      if (length === 0) break;
      if (size === 0 && looksSecret(path, chunk.toString("latin1", 0, Math.min(length, 4096)))) return undefined;
      hash.update(chunk.subarray(0, length));
      size += length;
    }
  } finally {
    closeSync(file);
  }
  const mode = (stat.mode & 0o111) === 0 ? 0o644 : 0o755;
  return { path, size, mode, link: null, mtime, sha256: hash.digest("hex") };
}

function hashOf(files: readonly ContentFile[]): string {
  const hash = createHash("sha256");
  for (const { path, mode, link, sha256 } of files) {
    hash.update(`${link === null ? mode.toString(8) : "link"} ${sha256} ${path}\n`);
  }
  return hash.digest("hex");
}
