/**
 * Checkpoints that are on this machine's disk already when its agent takes the run over: whether they belong to what
 * goes on. They do when nobody else has held the run since; otherwise they are moved aside, never loaded, never lost.
 */
import { existsSync, mkdirSync, renameSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { epochMark } from "../../../common/checkpoint-id.ts";
import { messageOf } from "../../../common/errors.ts";
import { readJsonIfThere, writeFileAtomic } from "../../../common/files.ts";
import type { Log } from "../../../common/log.ts";
import { listCheckpoints, readLocalManifest, recoverReplaced, verifyFolder } from "../../checkpoint/index.ts";
import type { Share } from "./spend.ts";

/** What this disk remembers of the last time that its agent held a run. */
export interface Memory {
  runId: string;
  epoch: number;
  generation: number;
  share: Share;
}

/** A memory that cannot be read is of nobody's run: what is on the disk is not trusted then. */
const LOST: Memory = { runId: "", epoch: 0, generation: 0, share: { others: 0, from: 0, counted: 0 } };

/** Undefined: an agent never held a run here. */
export function readMemory(path: string): Memory | undefined {
  try {
    const memory = readJsonIfThere(path) as Memory | undefined;
    if (memory === undefined) return undefined;
    const numbers = [memory.epoch, memory.generation, memory.share.others, memory.share.from, memory.share.counted];
    return typeof memory.runId === "string" && numbers.every(Number.isFinite) ? memory : LOST;
  } catch {
    return LOST;
  }
}

export function writeMemory(path: string, memory: Memory): void {
  writeFileAtomic(path, JSON.stringify(memory));
}

export interface Tenancy {
  memory: Memory | undefined;
  runId: string;
  /** The last epoch before the one that has just begun: epochs that were taken but never began do not count. */
  previousEpoch: number;
  /** What the store goes on from. */
  parent: string | null;
  isFresh: boolean;
}

/** Whether this disk's checkpoints continue what the store has: no epoch lies between its last one and this one. */
export function isContinued({ memory, runId, previousEpoch, parent, isFresh }: Tenancy): boolean {
  if (isFresh) return false;
  // A run that had no store until now: its checkpoints are the only ones.
  if (!memory) return parent === null;
  return memory.runId === runId && memory.epoch === previousEpoch;
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
  if (existsSync(dir)) recoverReplaced(dir); // a later look must not bring it back
  const found = listCheckpoints(dir);
  if (found.length === 0) return undefined;
  const suffix = `.outside-${epochMark(epoch)}`;
  try {
    return moveInto(join(dirname(dir), basename(dir) + suffix), found);
  } catch (error) {
    // The folder is a disk of its own: a hidden name inside is as good.
    if ((error as NodeJS.ErrnoException).code === "EXDEV") return moveInto(join(dir, suffix), found);
    throw error;
  }
}

function moveInto(aside: string, folders: readonly string[]): string {
  mkdirSync(aside, { recursive: true });
  for (const folder of folders) renameSync(folder, join(aside, basename(folder)));
  return aside;
}
