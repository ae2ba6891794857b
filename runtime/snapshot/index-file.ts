/** The file beside a snapshot's archive that says what is in it; written last, so that what has one is whole. */
import { neverSent } from "../../common/never-sent.ts";
import { readStored } from "../../common/stored-json.ts";

export const SNAPSHOTS = "snapshots/";

export interface SnapshotFile {
  path: string;
  sha256: string;
  baseSha256: string | null;
  size: number;
  mode: number;
  /** Unix seconds. */
  mtime: number;
}

export interface SnapshotIndex {
  format: 1;
  /** ISO time. */
  time: string;
  epoch: number;
  /** Of the archive. */
  sha256: string;
  bytes: number;
  files: SnapshotFile[];
  deleted: { path: string; baseSha256: string }[];
  leftOut: { path: string; reason: string }[];
}

/** `snapshots/20261124T101500Z.e00003`: without the endings of its two files. */
export function snapshotName(time: Date, epoch: number): string {
  const stamp = time
    .toISOString()
    .replace(/[-:]|\.\d+/g, "")
    .slice(0, 16);
  return `${SNAPSHOTS}${stamp}.e${String(epoch).padStart(5, "0")}`;
}

export const archiveKey = (name: string) => `${name}.tar.gz`;
export const indexKey = (name: string) => `${name}.json`;

/** Undefined for what is no index of a snapshot. */
export function parseSnapshotKey(key: string): { name: string; stamp: string; epoch: number } | undefined {
  const match = /^(snapshots\/(\d{8}T\d{6}Z)\.e(\d{5,15}))\.json$/.exec(key);
  return match ? { name: match[1] as string, stamp: match[2] as string, epoch: Number(match[3]) } : undefined;
}

/** @throws Error saying what is wrong; UserError VL_CHECKPOINT_BAD when a newer vastlane has written it */
export function parseIndex(name: string, text: Uint8Array): SnapshotIndex {
  const stored = readStored(indexKey(name), text);
  if ("damaged" in stored) throw new Error(stored.damaged);
  const index = stored.fields as unknown as SnapshotIndex;
  const isWhole =
    typeof index.sha256 === "string" &&
    Number.isSafeInteger(index.bytes) &&
    Array.isArray(index.files) &&
    Array.isArray(index.deleted) &&
    [...index.files, ...index.deleted].every((file) => typeof file?.path === "string");
  if (!isWhole) throw new Error("it lacks fields");
  const outside = [...index.files, ...index.deleted].find(({ path }) => !isSafePath(path));
  if (outside) throw new Error(`it names ${JSON.stringify(outside.path)}, which is no path of the project`);
  return { ...index, leftOut: Array.isArray(index.leftOut) ? index.leftOut : [] };
}

/** Below the project, and nothing that never travels: whoever can write to the store must reach nothing else. */
export function isSafePath(path: string): boolean {
  const parts = path.split("/");
  return (
    !parts.some((part) => part === "" || part === "." || part === "..") && !/[\0\\]/.test(path) && !neverSent(path)
  );
}
