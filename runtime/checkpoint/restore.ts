/**
 * A checkpoint out of the store: the newest of the lineage that verifies, into a local folder that appears when it is
 * whole. One that does not verify is said and passed over; a store that does not answer is no reason to take an older
 * one. What has arrived stays, so that an interrupted restore goes on.
 */
import { mkdirSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { checkpointFolder } from "../../common/checkpoint-id.ts";
import { hasCode, UserError } from "../../common/errors.ts";
import { writeFileAtomic } from "../../common/files.ts";
import type { Log } from "../../common/log.ts";
import { manifestKey } from "../lease/index.ts";
import { crcText } from "../store/index.ts";
import type { ObjectStore, Transfer } from "../store/types.ts";
import { placeFolder } from "./folders.ts";
import { keyOf } from "./keys.ts";
import {
  areSameFiles,
  DamagedCheckpoint,
  type Expected,
  MANIFEST,
  type Manifest,
  type ManifestFile,
  manifestText,
  parseManifest,
  readLocalManifest,
  SUMS,
  sumsText,
  verifyFolder,
} from "./manifest.ts";
import { followSums, sumFile } from "./sums.ts";

export interface Restoration {
  store: ObjectStore;
  /** Ids, newest first. */
  lineage: AsyncIterable<string> | Iterable<string>;
  /** Where local checkpoints are; the folder is made below it. */
  dir: string;
  expected?: Expected;
  log: Log;
  transfer?: Transfer;
}

export interface Restored {
  folder: string;
  manifest: Manifest;
  /** Newer ones that did not verify, newest first. */
  damaged: { id: string; why: string }[];
}

const RESTORING = ".restoring-";

/**
 * Undefined when the lineage is empty.
 * @throws UserError VL_CHECKPOINT_BAD when there are checkpoints and none verifies, or when one is of a newer format
 * or another run: that is a mistake, and not damage; VL_STORE_*, VL_DISK_FULL
 */
export async function restoreNewest(restoration: Restoration): Promise<Restored | undefined> {
  const damaged: Restored["damaged"] = [];
  for await (const id of restoration.lineage) {
    try {
      const { folder, manifest } = await restoreOne(id, restoration);
      removeUnfinished(restoration.dir);
      return { folder, manifest, damaged };
    } catch (error) {
      if (!(error instanceof DamagedCheckpoint)) throw error;
      const why = (error.why ?? error.what).replace(/\.$/, "");
      damaged.push({ id, why });
      restoration.log(`checkpoint ${id} is damaged (${why}): trying the one before`);
    }
  }
  if (damaged.length === 0) return undefined;
  throw new UserError("VL_CHECKPOINT_BAD", {
    what: `No checkpoint of ${restoration.store.name} is whole.`,
    why: damaged.map(({ id, why }) => `${id}: ${why}`).join("\n"),
    hint: "begin again: vastlane up --fresh; what is there stays in the store",
  });
}

/** Restores one checkpoint by its id. @throws as above; DamagedCheckpoint */
export async function restoreById(id: string, restoration: Omit<Restoration, "lineage">): Promise<Restored> {
  return { ...(await restoreOne(id, restoration)), damaged: [] };
}

async function restoreOne(id: string, { store, dir, expected, log, transfer }: Omit<Restoration, "lineage">) {
  const manifest = await readManifest(store, id, expected);
  const name = folderName(manifest);
  const present = join(dir, name);
  if (await isSameFolder(present, manifest)) return { folder: present, manifest };

  const unfinished = join(dir, `${RESTORING}${id}`);
  const [content, parts] = [join(unfinished, "content"), join(unfinished, "parts")];
  for (const folder of [content, parts]) mkdirSync(folder, { recursive: true });
  log(`restoring checkpoint ${id}: ${manifest.files.length} files, ${bytesOf(manifest)} bytes`);
  // Downloads have numbers for names: what is noted beside one can never meet a file of the checkpoint.
  for (const [index, file] of manifest.files.entries()) {
    await fetchFile(store, id, file, join(content, file.path), join(parts, String(index)), transfer);
  }
  writeFileAtomic(join(content, SUMS), sumsText(manifest.files));
  writeFileAtomic(join(content, MANIFEST), manifestText(manifest));
  const folder = placeFolder(content, dir, name);
  rmSync(unfinished, { recursive: true, force: true });
  return { folder, manifest };
}

async function readManifest(store: ObjectStore, id: string, expected: Expected = {}): Promise<Manifest> {
  const found = await store.get(manifestKey(id));
  const where = `${store.name}/${manifestKey(id)}`;
  if (!found) throw new DamagedCheckpoint(`${where} is missing.`, "without a manifest there is no checkpoint");
  return parseManifest(found.body.toString(), where, expected);
}

/**
 * Damage is told by the CRC-32 of what arrived, where manifest and store have one, and else by the SHA-256, which is
 * compared anyway when a checkpoint is loaded.
 */
async function fetchFile(
  store: ObjectStore,
  id: string,
  { path, bytes, sha256, crc32 }: ManifestFile,
  target: string,
  part: string,
  transfer: Transfer = {},
): Promise<void> {
  if (statSync(target, { throwIfNoEntry: false })?.size === bytes && (await sumFile(target)).sha256 === sha256) {
    transfer.onProgress?.(bytes);
    return;
  }
  mkdirSync(dirname(target), { recursive: true });
  const sums = followSums();
  let arrived: string | undefined;
  const watch: Transfer = crc32 ? { onCrc32: (crc) => (arrived = crcText(crc)) } : { onArrived: sums.arrived };
  try {
    await store.download(keyOf(id, path), part, bytes, { ...transfer, ...watch });
    const isSame = arrived !== undefined ? arrived === crc32 : (await sums.finish(part)).sha256 === sha256;
    if (!isSame) {
      rmSync(part, { force: true });
      throw damagedFile(store, id, path, "it has other content than its manifest says");
    }
  } catch (error) {
    if (!hasCode(error, "VL_CHECKPOINT_BAD") || error instanceof DamagedCheckpoint) throw error;
    throw damagedFile(store, id, path, (error.why ?? error.what).replace(/\.$/, ""));
  } finally {
    sums.stop();
  }
  renameSync(part, target);
}

/** Whether the checkpoint is here already, whole. A folder of that name with other content is another one. */
async function isSameFolder(folder: string, manifest: Manifest): Promise<boolean> {
  try {
    const local = readLocalManifest(folder);
    if (!local || !areSameFiles(local.files, manifest.files)) return false;
    await verifyFolder(folder, manifest);
    return true;
  } catch (error) {
    if (hasCode(error, "VL_CHECKPOINT_BAD")) return false;
    throw error;
  }
}

/** The name that it had where it was made, if that can be a folder here. */
function folderName({ folder, step }: Manifest): string {
  const isPlain = typeof folder === "string" && /^[^./\\\0][^/\\\0]{0,200}$/.test(folder);
  return isPlain ? folder : checkpointFolder(step);
}

function damagedFile(store: ObjectStore, id: string, path: string, why: string): DamagedCheckpoint {
  return new DamagedCheckpoint(`Checkpoint ${id} in ${store.name} is damaged.`, `${path}: ${why}`);
}

function bytesOf({ files }: Manifest): number {
  return files.reduce((sum, { bytes }) => sum + bytes, 0);
}

function removeUnfinished(dir: string): void {
  for (const name of readdirSync(dir)) {
    if (name.startsWith(RESTORING)) rmSync(join(dir, name), { recursive: true, force: true });
  }
}
