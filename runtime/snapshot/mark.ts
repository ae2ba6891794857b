/**
 * What this disk remembers of snapshots: whether its workspace is complete, and what it has saved last. Written at the
 * end of a restore, so that one that was cut off is done again.
 */
import { readJsonIfThere, writeFileAtomic } from "../../common/files.ts";

export interface SnapshotMark {
  runId: string;
  /** The last tenure in which this disk's workspace was complete. */
  epoch: number;
  /** What the newest snapshot holds, as one hash; null: not known, so the next look takes one. */
  content: string | null;
  /** Unix seconds of the last one that was taken here. */
  takenAt: number;
  /** SHA-256 of each file in it. */
  saved: Record<string, string>;
}

/** Undefined too for another run's mark, and for what cannot be read: the workspace is then brought back again. */
export function readMark(path: string, runId: string): SnapshotMark | undefined {
  try {
    const mark = readJsonIfThere(path) as SnapshotMark | undefined;
    const isMark = mark?.runId === runId && Number.isSafeInteger(mark.epoch) && typeof mark.saved === "object";
    return isMark ? mark : undefined;
  } catch {
    return undefined;
  }
}

export function writeMark(path: string, mark: SnapshotMark): void {
  writeFileAtomic(path, `${JSON.stringify(mark)}\n`);
}
