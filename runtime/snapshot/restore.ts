/**
 * Brings the newest whole snapshot back on another machine, after the deploy. A damaged one is said, and the one before
 * is taken. A mark on the disk, written at the end, says that the workspace is complete.
 */
import { createReadStream, createWriteStream, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { messageOf, UserError } from "../../common/errors.ts";
import type { Log } from "../../common/log.ts";
import { readTar } from "../../common/tar-read.ts";
import type { ObjectStore } from "../store/types.ts";
import { hashOf } from "./hash-of.ts";
import {
  archiveKey,
  indexKey,
  newestFirst,
  parseIndex,
  SNAPSHOTS,
  type SnapshotFile,
  type SnapshotIndex,
} from "./index-file.ts";
import { readMark, writeMark } from "./mark.ts";
import { type Placed, placeSnapshot } from "./place.ts";
import { NOTHING, type SnapshotPlace } from "./save.ts";

export interface RestoreOptions extends SnapshotPlace {
  store: ObjectStore;
  /** Of the tenure that restores; only snapshots of earlier ones are taken. */
  epoch: number;
  /** The last epoch before it in which anybody could write; 0: there was none. */
  previousEpoch: number;
  log: Log;
}

export interface RestoredWorkspace extends Placed {
  name: string;
  /** ISO time at which it was taken. */
  time: string;
}

/**
 * Undefined when this disk's workspace is the newest there is, or when there is no snapshot.
 * @throws UserError VL_STORE_*, VL_DISK_FULL
 */
export async function restoreSnapshot(options: RestoreOptions): Promise<RestoredWorkspace | undefined> {
  const { runId, epoch, previousEpoch } = options;
  const mark = readMark(options.mark, runId);
  const isComplete = mark?.epoch === previousEpoch || mark?.epoch === epoch;
  if (mark && isComplete) {
    writeMark(options.mark, { ...mark, epoch });
    return undefined;
  }
  const restored = await restoreNewest(options, mark?.saved ?? {});
  // What others have saved before is followed by one of this tenure, even if nothing changes: what an older one still
  // writes is older then.
  const content = previousEpoch === 0 ? NOTHING : null;
  writeMark(options.mark, { runId, epoch, content, takenAt: mark?.takenAt ?? 0, saved: {} });
  return restored;
}

async function restoreNewest(
  options: RestoreOptions,
  saved: Readonly<Record<string, string>>,
): Promise<RestoredWorkspace | undefined> {
  const { store, log, epoch, staging, project, conflicts } = options;
  const folder = join(staging, "snapshot-in");
  const keys = (await store.list(SNAPSHOTS)).map(({ key }) => key);
  for (const { name } of newestFirst(keys).filter((found) => found.epoch < epoch)) {
    try {
      rmSync(folder, { recursive: true, force: true });
      mkdirSync(folder, { recursive: true });
      const { index, sourceOf } = await fetchSnapshot(name, folder, store);
      return { name, time: index.time, ...(await placeSnapshot({ index, sourceOf, saved, project, conflicts, log })) };
    } catch (error) {
      if (isFull(error)) throw diskFull(error);
      if (error instanceof UserError && error.code !== "VL_CHECKPOINT_BAD") throw error;
      log(`snapshot ${name} is not used (${messageOf(error).split("\n")[0]}): trying the one before`);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }
  return undefined;
}

/** Its files in `folder`, named by number: whatever their names, they can meet nothing. Each is verified. */
async function fetchSnapshot(
  name: string,
  folder: string,
  store: ObjectStore,
): Promise<{ index: SnapshotIndex; sourceOf(area: string, path: string): string }> {
  const found = await store.get(indexKey(name));
  if (!found) throw new Error("it has gone");
  const index = parseIndex(name, found.body);
  const archive = join(folder, "archive");
  await store.download(archiveKey(name), archive, index.bytes);
  if ((await hashOf(archive)) !== index.sha256) throw new Error("its archive is damaged");
  const members = [
    ...index.files.map((file): [string, SnapshotFile] => [`project/${file.path}`, file]),
    ...index.conflicts.map((file): [string, SnapshotFile] => [`conflicts/${file.path}`, file]),
  ];
  const files = new Map(members);
  const places = new Map(members.map(([member], number) => [member, join(folder, String(number))]));
  const left = new Set(files.keys());
  await readMembers(archive, async ({ path, size }, content) => {
    const wanted = files.get(path);
    if (!wanted || !left.delete(path)) throw new Error(`its archive holds ${path}, which its index does not name`);
    if (size !== wanted.size) throw new Error(`${path} in it has another length than its index says`);
    const target = places.get(path) as string;
    await pipeline(Readable.from(content), createWriteStream(target, { mode: 0o600 }));
    if ((await hashOf(target)) !== wanted.sha256) throw new Error(`${path} in it is damaged`);
  });
  if (left.size > 0) throw new Error(`its archive lacks ${[...left][0]}`);
  return { index, sourceOf: (area, path) => places.get(`${area}/${path}`) as string };
}

/** What follows the archive's end is not even unpacked. */
async function readMembers(archive: string, onFile: Parameters<typeof readTar>[1]): Promise<void> {
  const packed = createReadStream(archive);
  const unpacked = createGunzip();
  packed.on("error", (error) => unpacked.destroy(error));
  packed.pipe(unpacked);
  try {
    await readTar(unpacked, onFile);
  } finally {
    packed.destroy();
    unpacked.destroy();
  }
}

function isFull(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === "ENOSPC" || code === "EDQUOT";
}

function diskFull(cause: unknown): UserError {
  return new UserError("VL_DISK_FULL", {
    what: "the machine's disk is full: what was changed on the machine before cannot be brought back",
    hint: "delete what is not needed there, or set a larger vastlane:machine.diskGB",
    cause,
  });
}
