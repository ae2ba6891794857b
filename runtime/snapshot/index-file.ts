/**
 * The file beside a snapshot's archive that says what is in it; written last, so that what has one is whole.
 * Whoever can write to the store can write such a file: everything in it is checked before it is used.
 */
import { epochMark } from "../../common/checkpoint-id.ts";
import { neverSent } from "../../common/never-sent.ts";
import { readStored } from "../../common/stored-json.ts";

export const SNAPSHOTS = "snapshots/";

export interface SnapshotFile {
  /** Relative to its folder, `/` between folders. */
  path: string;
  sha256: string;
  size: number;
  mode: number;
  /** Unix seconds. */
  mtime: number;
}

export interface ProjectFile extends SnapshotFile {
  /** Of what the deploy had sent under this name; null: nothing. */
  baseSha256: string | null;
}

export interface SnapshotIndex {
  format: 1;
  /** ISO time. */
  time: string;
  epoch: number;
  /** Of the archive. */
  sha256: string;
  bytes: number;
  /** In the archive as `project/<path>`. */
  files: ProjectFile[];
  /** Versions that earlier restores have put beside the project; in the archive as `conflicts/<path>`. */
  conflicts: SnapshotFile[];
  deleted: { path: string; baseSha256: string }[];
  leftOut: { path: string; reason: string }[];
}

export interface SnapshotName {
  /** `snapshots/20261124T101500Z.e00003`: a key without the endings of the two objects. */
  name: string;
  stamp: string;
  epoch: number;
}

export function snapshotName(time: Date, epoch: number): string {
  const stamp = time.toISOString().replace(/[-:]|\.\d+/g, "");
  return `${SNAPSHOTS}${stamp}.${epochMark(epoch)}`;
}

export const archiveKey = (name: string) => `${name}.tar.gz`;
export const indexKey = (name: string) => `${name}.json`;

/** Undefined for what is neither an archive nor an index of a snapshot. */
export function parseSnapshotKey(key: string): (SnapshotName & { isIndex: boolean }) | undefined {
  const match = /^(snapshots\/(\d{8}T\d{6}Z)\.e(\d{5,15}))\.(json|tar\.gz)$/.exec(key);
  if (!match) return undefined;
  const [, name = "", stamp = "", epoch, ending] = match;
  return { name, stamp, epoch: Number(epoch), isIndex: ending === "json" };
}

/** The whole snapshots among the keys. The epoch decides first: what an old writer adds late is no newer for it. */
export function newestFirst(keys: readonly string[]): SnapshotName[] {
  return keys
    .flatMap((key) => parseSnapshotKey(key) ?? [])
    .filter(({ isIndex }) => isIndex)
    .sort((a, b) => b.epoch - a.epoch || (a.stamp < b.stamp ? 1 : -1));
}

/** A day's code, many times over; an index that promises more is a trap for the disk. */
const MAX_BYTES = 2 ** 30;
const HASH = /^[0-9a-f]{64}$/;

/** @throws Error saying what is wrong; UserError VL_CHECKPOINT_BAD when a newer vastlane has written it */
export function parseIndex(name: string, text: Uint8Array): SnapshotIndex {
  const stored = readStored(indexKey(name), text);
  if ("damaged" in stored) throw new Error(stored.damaged);
  const { time, epoch, sha256, bytes, files, conflicts, deleted, leftOut } = stored.fields;
  const index: SnapshotIndex = {
    format: 1,
    time: match(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/),
    epoch: whole(epoch),
    sha256: match(sha256, HASH),
    bytes: whole(bytes),
    files: each(files, (file) => ({ ...fileOf(file), baseSha256: file.baseSha256 === null ? null : baseOf(file) })),
    conflicts: each(conflicts ?? [], fileOf),
    deleted: each(deleted, (file) => ({ path: safePath(file.path), baseSha256: baseOf(file) })),
    leftOut: Array.isArray(leftOut) ? (leftOut as SnapshotIndex["leftOut"]) : [],
  };
  for (const list of [[...index.files, ...index.deleted], index.conflicts]) {
    if (new Set(list.map(({ path }) => path)).size < list.length) throw new Error("it names a file twice");
  }
  const sum = [...index.files, ...index.conflicts].reduce((total, { size }) => total + size, 0);
  if (sum > MAX_BYTES || index.bytes > MAX_BYTES) throw new Error("it promises far more than a snapshot holds");
  return index;
}

/** Below its folder, and nothing that never travels: whoever can write to the store must reach nothing else. */
export function isSafePath(path: string): boolean {
  const parts = path.split("/");
  return (
    !parts.some((part) => part === "" || part === "." || part === "..") &&
    !/[\0\n\r\\]/.test(path) &&
    neverSent(path) === undefined
  );
}

type Fields = Record<string, unknown>;

function fileOf({ path, sha256, size, mode, mtime }: Fields): SnapshotFile {
  return {
    path: safePath(path),
    sha256: match(sha256, HASH),
    size: whole(size),
    mode: whole(mode) & 0o777, // no bits that change who a program runs as
    mtime: whole(mtime),
  };
}

const baseOf = ({ baseSha256 }: Fields) => match(baseSha256, HASH);

function safePath(path: unknown): string {
  if (typeof path === "string" && isSafePath(path)) return path;
  throw new Error(`it names ${JSON.stringify(path)}, which is no path of the project`);
}

function each<T>(list: unknown, parse: (fields: Fields) => T): T[] {
  if (!Array.isArray(list)) throw new Error("it lacks fields");
  return list.map((item) => parse(typeof item === "object" && item !== null ? item : {}));
}

function match(value: unknown, pattern: RegExp): string {
  if (typeof value === "string" && pattern.test(value)) return value;
  throw new Error("it lacks fields");
}

function whole(value: unknown): number {
  if (Number.isSafeInteger(value) && (value as number) >= 0) return value as number;
  throw new Error("it lacks fields");
}
