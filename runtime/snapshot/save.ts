/**
 * Takes a snapshot when something has changed: the archive first, its index last. Old ones go by a simple rule. One at a
 * time: the end of a run asks for one while another may be under way.
 */
import { createHash } from "node:crypto";
import { mkdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "../../common/clock.ts";
import { messageOf } from "../../common/errors.ts";
import { readFileIfThere } from "../../common/files.ts";
import type { Log } from "../../common/log.ts";
import { parseManifest } from "../../common/sent-files.ts";
import type { Tenure } from "../lease/types.ts";
import type { ObjectStore } from "../store/types.ts";
import { hashOf } from "./hash-of.ts";
import {
  archiveKey,
  indexKey,
  newestFirst,
  parseSnapshotKey,
  SNAPSHOTS,
  type SnapshotIndex,
  snapshotName,
} from "./index-file.ts";
import { readMark, writeMark } from "./mark.ts";
import { type Packed, packArchive } from "./pack.ts";
import { CAPS, type Caps, fingerprintOf, type LeftOut, type Place, type Scan, scanWorkspace } from "./scan.ts";

export interface SnapshotPlace extends Place {
  runId: string;
  /** Deploy's record of what it sent. */
  manifest: string;
  /** A folder of ours for the archive while it is made. */
  staging: string;
  /** A file of ours: see mark.ts. */
  mark: string;
}

export interface SaveOptions extends SnapshotPlace {
  store: ObjectStore;
  tenure: Tenure;
  clock: Clock;
  log: Log;
  /** What people should read: files that are left out. */
  say: Log;
  signal?: AbortSignal;
  caps?: Partial<Caps>;
}

export interface Snapshots {
  /**
   * Takes one if something has changed since the last. Gives its name, or undefined.
   * @throws UserError VL_STORE_*, LeaseLost, the signal's reason, faults of the local disk
   */
  save(options: SaveOptions): Promise<string | undefined>;
}

const KEEP_NEWEST = 20;
const MOST_LEFT_OUT = 1000;

export function createSnapshots(): Snapshots {
  let last: string | undefined;
  let named = "";
  let running: Promise<unknown> = Promise.resolve();
  return {
    async save(options) {
      const before = running;
      const mine = (async () => {
        await unlessAborted(before, options.signal);
        return saveOnce(options);
      })();
      running = Promise.allSettled([before, mine]); // one that gave up waiting lets nobody past
      return mine;
    },
  };

  async function saveOnce(options: SaveOptions): Promise<string | undefined> {
    const caps = { ...CAPS, ...options.caps };
    const scan = await scanWorkspace(options, parseManifest(readFileIfThere(options.manifest) ?? ""), caps);
    const fingerprint = fingerprintOf(scan);
    // Nothing was written, and so nothing is read.
    if (fingerprint === last) return undefined;
    const { name, leftOut } = await take(scan, options, caps);
    last = fingerprint;
    sayLeftOut(leftOut, options.say);
    return name;
  }

  /** Once, and again when there are others. */
  function sayLeftOut(leftOut: readonly LeftOut[], say: Log): void {
    const shown = leftOut.slice(0, 10).map(({ path, reason }) => `${path} (${reason})`);
    const more = leftOut.length > shown.length ? ` and ${leftOut.length - shown.length} more` : "";
    const text = shown.join(", ") + more;
    if (text !== "" && text !== named) say(`not saved with the workspace: ${text}`);
    named = text;
  }
}

async function take(
  scan: Scan,
  options: SaveOptions,
  caps: Caps,
): Promise<{ name: string | undefined; leftOut: LeftOut[] }> {
  const { store, tenure, clock, signal } = options;
  const mark = readMark(options.mark, options.runId);
  const folder = join(options.staging, "snapshot-out");
  mkdirSync(folder, { recursive: true });
  try {
    const archive = join(folder, "snapshot.tar.gz");
    const packed = await packArchive(scan, options, archive, caps);
    const content = contentOf(packed, scan);
    if (content === mark?.content) return { name: undefined, leftOut: packed.leftOut };
    // Two in one second would have one name; and a clock that was set back must not make the newer one look older.
    const takenAt = Math.max(Math.floor(clock.now() / 1000), (mark?.takenAt ?? 0) + 1);
    const time = new Date(takenAt * 1000);
    const name = snapshotName(time, tenure.epoch);
    const index: SnapshotIndex = {
      format: 1,
      time: time.toISOString(),
      epoch: tenure.epoch,
      sha256: (await hashOf(archive)) ?? "",
      bytes: statSync(archive).size,
      files: packed.files,
      conflicts: packed.conflicts,
      deleted: scan.deleted,
      leftOut: packed.leftOut.slice(0, MOST_LEFT_OUT),
    };
    await store.upload(archiveKey(name), archive, signal ? { signal } : {});
    await tenure.assertHeld();
    await store.put(indexKey(name), JSON.stringify(index));
    const saved = Object.fromEntries(packed.files.map(({ path, sha256 }) => [path, sha256]));
    writeMark(options.mark, { runId: options.runId, epoch: tenure.epoch, content, takenAt, saved });
    await prune(store, options.log);
    return { name, leftOut: packed.leftOut };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** One hash over what a snapshot holds, times left out. */
function contentOf({ files, conflicts }: Packed, { deleted }: Scan): string {
  const lines = [
    ...files.map(({ path, sha256, mode, baseSha256 }) => [path, sha256, mode & 0o100, baseSha256]),
    ...conflicts.map(({ path, sha256 }) => ["conflict", path, sha256]),
    ...deleted.map(({ path, baseSha256 }) => ["deleted", path, baseSha256]),
  ];
  return createHash("sha256").update(JSON.stringify(lines)).digest("hex");
}

/** What the mark of a disk says that has changed nothing, for a run of which nobody has saved anything. */
export const NOTHING = contentOf(
  { files: [], conflicts: [], leftOut: [] },
  { changed: [], conflicts: [], deleted: [], leftOut: [] },
);

/** All of the newest stay, and of older days the last of each. A failure is no reason to call a snapshot failed. */
async function prune(store: ObjectStore, log: Log): Promise<void> {
  try {
    const keys = (await store.list(SNAPSHOTS)).map(({ key }) => key);
    const days = new Set<string>();
    const kept = newestFirst(keys).filter(({ stamp }, place) => {
      const day = stamp.slice(0, 8);
      const isLastOfDay = !days.has(day);
      days.add(day);
      return place < KEEP_NEWEST || isLastOfDay;
    });
    const keptNames = new Set(kept.map(({ name }) => name));
    // Archives of which the index never came among them; indexes go first, so that none is left without its archive.
    const surplus = keys.flatMap((key) => parseSnapshotKey(key) ?? []).filter(({ name }) => !keptNames.has(name));
    await store.delete(surplus.filter(({ isIndex }) => isIndex).map(({ name }) => indexKey(name)));
    await store.delete(surplus.filter(({ isIndex }) => !isIndex).map(({ name }) => archiveKey(name)));
  } catch (error) {
    log(`old snapshots were not removed: ${messageOf(error).split("\n")[0]}`);
  }
}

function unlessAborted(work: Promise<unknown>, signal: AbortSignal | undefined): Promise<unknown> {
  if (!signal) return work;
  signal.throwIfAborted();
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
  return Promise.race([work, aborted]);
}
