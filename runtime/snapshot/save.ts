/** Takes a snapshot: archive first, its index last; old ones go by a simple rule. */
import { createHash } from "node:crypto";
import { createReadStream, createWriteStream, mkdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import type { Clock } from "../../common/clock.ts";
import { readFileIfThere } from "../../common/files.ts";
import type { Log } from "../../common/log.ts";
import { parseManifest } from "../../common/sent-files.ts";
import { tarStream } from "../../common/tar.ts";
import type { Tenure } from "../lease/types.ts";
import type { ObjectStore } from "../store/types.ts";
import {
  archiveKey,
  indexKey,
  parseSnapshotKey,
  SNAPSHOTS,
  type SnapshotFile,
  type SnapshotIndex,
  snapshotName,
} from "./index-file.ts";
import { CAPS, type Caps, fingerprintOf, type Scan, scanProject } from "./scan.ts";

export interface SnapshotPlace {
  project: string;
  /** Deploy's record of what it sent. */
  manifest: string;
  /** A folder of ours for the archive while it is made. */
  staging: string;
}

export interface SaveOptions extends SnapshotPlace {
  store: ObjectStore;
  tenure: Tenure;
  clock: Clock;
  log: Log;
  signal?: AbortSignal;
  caps?: Caps;
}

export interface Snapshots {
  /** Takes one if something has changed since the last. Gives its name, or undefined. @throws UserError VL_STORE_* */
  save(options: SaveOptions): Promise<string | undefined>;
}

const KEEP_NEWEST = 20;

/** Remembers what the last snapshot held, so that an unchanged workspace costs a look and no request. */
export function createSnapshots(): Snapshots {
  let last: string | undefined;
  let named = "";
  return {
    async save(options) {
      const scan = scanProject(
        options.project,
        parseManifest(readFileIfThere(options.manifest) ?? ""),
        options.caps ?? CAPS,
      );
      const fingerprint = fingerprintOf(scan);
      if (fingerprint === (last ?? fingerprintOf(NOTHING))) return undefined;
      const name = await take(scan, options);
      last = fingerprint;
      const leftOut = scan.leftOut.map(({ path, reason }) => `${path} (${reason})`).join(", ");
      if (leftOut !== "" && leftOut !== named) options.log(`not in the snapshot: ${leftOut}`);
      named = leftOut;
      return name;
    },
  };
}

const NOTHING: Scan = { changed: [], deleted: [], leftOut: [] };

async function take(scan: Scan, options: SaveOptions): Promise<string> {
  const { store, tenure, clock, staging, project } = options;
  const time = new Date(clock.now());
  const name = snapshotName(time, tenure.epoch);
  mkdirSync(staging, { recursive: true });
  const archive = join(staging, "snapshot.tar.gz");
  try {
    const files: SnapshotFile[] = [];
    for (const file of scan.changed) {
      const sha256 = await hashOf(join(project, file.path));
      if (sha256 !== undefined) files.push({ ...file, sha256 });
    }
    const members = files.map(({ path, mode, mtime, size }) => ({
      path,
      mode,
      mtime,
      content: { kind: "file" as const, source: join(project, path), size },
    }));
    await pipeline(Readable.from(tarStream(members)), createGzip(), createWriteStream(archive));
    const index: SnapshotIndex = {
      format: 1,
      time: time.toISOString(),
      epoch: tenure.epoch,
      sha256: (await hashOf(archive)) ?? "",
      bytes: statSync(archive).size,
      files,
      deleted: scan.deleted,
      leftOut: scan.leftOut,
    };
    await store.upload(archiveKey(name), archive, options.signal ? { signal: options.signal } : {});
    await tenure.assertHeld();
    await store.put(indexKey(name), JSON.stringify(index));
  } finally {
    rmSync(archive, { force: true });
  }
  await prune(store);
  return name;
}

/** All of the newest, and of older days the last of each. */
async function prune(store: ObjectStore): Promise<void> {
  const found = (await store.list(SNAPSHOTS)).flatMap(({ key }) => parseSnapshotKey(key) ?? []);
  const newestFirst = found.sort((a, b) => (a.stamp < b.stamp ? 1 : a.stamp > b.stamp ? -1 : b.epoch - a.epoch));
  const days = new Set<string>();
  const surplus = newestFirst.filter(({ stamp }, index) => {
    const day = stamp.slice(0, 8);
    const isLastOfDay = !days.has(day);
    days.add(day);
    return index >= KEEP_NEWEST && !isLastOfDay;
  });
  await store.delete(surplus.flatMap(({ name }) => [indexKey(name), archiveKey(name)]));
}

/** Hex SHA-256; undefined when the file has gone meanwhile. */
export async function hashOf(path: string): Promise<string | undefined> {
  const hash = createHash("sha256");
  try {
    for await (const chunk of createReadStream(path)) hash.update(chunk);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  return hash.digest("hex");
}
