/**
 * Checkpoints that are on this machine's disk already when its agent takes the run over: whether they belong to what
 * goes on. They do when nobody else has held the run since; otherwise they are moved aside, never loaded, never lost.
 */
import { existsSync, mkdirSync, renameSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { messageOf } from "../../../common/errors.ts";
import { readJsonIfThere, writeFileAtomic } from "../../../common/files.ts";
import type { Log } from "../../../common/log.ts";
import { listCheckpoints, readLocalManifest, recoverReplaced, verifyFolder } from "../../checkpoint/index.ts";

/** What this disk remembers of the last time that its agent held the run. */
export interface Memory {
  runId: string;
  epoch: number;
  generation: number;
  /** USD that the run had cost before this machine. */
  spentBefore: number;
}

export function readMemory(path: string, runId: string): Memory | undefined {
  try {
    const memory = readJsonIfThere(path) as Memory | undefined;
    return memory?.runId === runId && Number.isSafeInteger(memory.epoch) ? memory : undefined;
  } catch {
    return undefined; // what is on the disk then counts as somebody else's: it is fetched from the store again
  }
}

export function writeMemory(path: string, memory: Memory): void {
  writeFileAtomic(path, JSON.stringify(memory));
}

export interface Tenancy {
  memory: Memory | undefined;
  /** The last epoch before the one that has just begun: epochs that were taken but never began do not count. */
  previousEpoch: number;
  /** What the store goes on from. */
  parent: string | null;
  isFresh: boolean;
}

/** Whether this disk's checkpoints continue what the store has: no epoch lies between its last one and this one. */
export function isContinued({ memory, previousEpoch, parent, isFresh }: Tenancy): boolean {
  if (isFresh) return false;
  // A run that had no store until now: its checkpoints are the only ones.
  if (!memory) return parent === null;
  return memory.epoch === previousEpoch;
}

/** The newest local checkpoint that is whole. One without a manifest of ours is taken at its word. */
export async function newestWhole(dir: string, log: Log): Promise<string | undefined> {
  if (existsSync(dir)) recoverReplaced(dir);
  for (const folder of listCheckpoints(dir).reverse()) {
    try {
      const manifest = readLocalManifest(folder);
      if (manifest) await verifyFolder(folder, manifest);
      return folder;
    } catch (error) {
      log(`${folder} is not used: ${messageOf(error).split("\n")[0]}`);
    }
  }
  return undefined;
}

/** Moves every local checkpoint into `<dir>.outside-e<epoch>`; gives that folder, or undefined when there was none. */
export function moveAside(dir: string, epoch: number): string | undefined {
  const found = listCheckpoints(dir);
  if (found.length === 0) return undefined;
  const aside = join(dirname(dir), `${basename(dir)}.outside-e${String(epoch).padStart(5, "0")}`);
  mkdirSync(aside, { recursive: true });
  for (const folder of found) renameSync(folder, join(aside, basename(folder)));
  return aside;
}
