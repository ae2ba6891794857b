/**
 * Brings a snapshot back on another machine, after the deploy. A file that is as it was when it was changed there gets
 * the change; where the deploy has brought another version, both stay: the deployed one in its place, the machine's
 * beside the project, and both are named. Nothing outside of the project is ever written.
 */
import { createReadStream, createWriteStream, lstatSync, mkdirSync, renameSync, rmSync, utimesSync } from "node:fs";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { messageOf, UserError } from "../../common/errors.ts";
import type { Log } from "../../common/log.ts";
import { readTar } from "../../common/tar-read.ts";
import type { ObjectStore } from "../store/types.ts";
import {
  archiveKey,
  indexKey,
  parseIndex,
  parseSnapshotKey,
  SNAPSHOTS,
  type SnapshotFile,
  type SnapshotIndex,
} from "./index-file.ts";
import { hashOf } from "./save.ts";

export interface RestoreOptions {
  store: ObjectStore;
  /** Of the tenure that restores; only snapshots of earlier ones are taken. */
  epoch: number;
  project: string;
  /** Where the machine's version of a file goes that was changed on both sides. */
  conflicts: string;
  staging: string;
  log: Log;
}

export interface RestoredWorkspace {
  name: string;
  /** ISO time at which it was taken. */
  time: string;
  restored: string[];
  deleted: string[];
  /** Changed on both sides; their folder. */
  conflicts: string[];
  conflictFolder: string;
}

/** Undefined when there is no snapshot. A damaged one is said, and the one before is taken. @throws UserError VL_STORE_* */
export async function restoreSnapshot(options: RestoreOptions): Promise<RestoredWorkspace | undefined> {
  const { store, log, epoch, staging } = options;
  const names = (await store.list(SNAPSHOTS))
    .flatMap(({ key }) => parseSnapshotKey(key) ?? [])
    .filter((found) => found.epoch < epoch)
    .sort((a, b) => b.epoch - a.epoch || (a.stamp < b.stamp ? 1 : -1));
  for (const { name } of names) {
    const unpacked = join(staging, "snapshot");
    rmSync(unpacked, { recursive: true, force: true });
    mkdirSync(unpacked, { recursive: true });
    try {
      const index = await fetchSnapshot(name, unpacked, options);
      return await place(name, index, unpacked, options);
    } catch (error) {
      if (error instanceof UserError && error.code !== "VL_CHECKPOINT_BAD") throw error;
      log(`snapshot ${name} is not used (${messageOf(error).split("\n")[0]}): trying the one before`);
    } finally {
      rmSync(unpacked, { recursive: true, force: true });
    }
  }
  return undefined;
}

/** Files of the archive as `<unpacked>/<number>`, verified. */
async function fetchSnapshot(name: string, unpacked: string, { store }: RestoreOptions): Promise<SnapshotIndex> {
  const found = await store.get(indexKey(name));
  if (!found) throw new Error("it has gone");
  const index = parseIndex(name, found.body);
  const archive = join(unpacked, "archive");
  await store.download(archiveKey(name), archive, index.bytes);
  if ((await hashOf(archive)) !== index.sha256) throw new Error("its archive is damaged");
  const numbers = new Map(index.files.map((file, number) => [file.path, { file, number }]));
  const left = new Set(numbers.keys());
  await readTar(createReadStream(archive).pipe(createGunzip()), async ({ path }, content) => {
    const wanted = numbers.get(path);
    if (!wanted || !left.delete(path)) throw new Error(`its archive holds ${path}, which its index does not name`);
    const target = join(unpacked, String(wanted.number));
    await pipeline(Readable.from(content), createWriteStream(target, { mode: wanted.file.mode }));
    if ((await hashOf(target)) !== wanted.file.sha256) throw new Error(`${path} in it is damaged`);
  });
  if (left.size > 0) throw new Error(`its archive lacks ${[...left][0]}`);
  return index;
}

async function place(
  name: string,
  index: SnapshotIndex,
  unpacked: string,
  { project, conflicts, log }: RestoreOptions,
): Promise<RestoredWorkspace> {
  const conflictFolder = join(conflicts, index.time.replace(/:/g, "-").slice(0, 19));
  const result: RestoredWorkspace = {
    name,
    time: index.time,
    restored: [],
    deleted: [],
    conflicts: [],
    conflictFolder,
  };
  for (const [number, file] of index.files.entries()) {
    const source = join(unpacked, String(number));
    const current = await currentOf(project, file.path);
    if (current === file.sha256) continue;
    if (current === file.baseSha256) {
      put(source, join(project, file.path), file);
      result.restored.push(file.path);
    } else {
      put(source, join(conflictFolder, file.path), file);
      result.conflicts.push(file.path);
    }
  }
  for (const { path, baseSha256 } of index.deleted) {
    const current = await currentOf(project, path);
    if (current === null) continue;
    if (current === baseSha256) {
      rmSync(join(project, path));
      result.deleted.push(path);
    } else log(`${path} was deleted on the machine before, but the deploy has brought another version: it stays`);
  }
  return result;
}

/** Hash of the project's file; null: not there; "other": a folder, a link, or something behind a link. */
async function currentOf(project: string, path: string): Promise<string | null> {
  const parts = path.split("/");
  for (let i = 1; i <= parts.length; i += 1) {
    const stat = lstatSync(join(project, ...parts.slice(0, i)), { throwIfNoEntry: false });
    if (!stat) return null;
    if (i < parts.length ? !stat.isDirectory() : !stat.isFile()) return "other";
  }
  return (await hashOf(join(project, path))) ?? null;
}

function put(source: string, target: string, { mtime }: SnapshotFile): void {
  mkdirSync(dirname(target), { recursive: true });
  utimesSync(source, mtime, mtime);
  renameSync(source, target);
}
