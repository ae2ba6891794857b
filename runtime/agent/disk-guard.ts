/**
 * Keeps the machine's disk from filling up: frees what is ours and not needed, oldest first, before there is none left.
 * Never a person's files, and never the newest checkpoint. What to remove is a pure plan.
 */
import { existsSync, readdirSync, rmSync, statfsSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { Log } from "../../common/log.ts";
import { listCheckpoints } from "../checkpoint/index.ts";

export interface DiskState {
  freeBytes: number;
  totalBytes: number;
  /** Of the newest checkpoint: as much again is about to be written. */
  checkpointBytes: number;
  /** In the order in which they may go. */
  removable: { path: string; bytes: number }[];
}

const LEAST_BYTES = 1e9;
const LEAST_SHARE = 0.05;

/** Free space below which something must go. A small disk has less than 1 GB to keep free. */
export function wantedFree({ totalBytes, checkpointBytes }: Pick<DiskState, "totalBytes" | "checkpointBytes">): number {
  return Math.max(Math.min(LEAST_BYTES, totalBytes * 0.1), totalBytes * LEAST_SHARE, 2 * checkpointBytes);
}

/** What to remove now, no more than is needed. */
export function planDisk(state: DiskState): string[] {
  let missing = wantedFree(state) - state.freeBytes;
  const plan: string[] = [];
  for (const { path, bytes } of state.removable) {
    if (missing <= 0) break;
    plan.push(path);
    missing -= bytes;
  }
  return plan;
}

export interface DiskGuardOptions {
  root: string;
  checkpointDir: string;
  /** The agent's rotated logs. */
  logs: string;
  /** Name of the newest local checkpoint that is in the store; what is older may go. Null: none is. */
  saved(): string | null;
  hasStore: boolean;
  log: Log;
}

/** Removes what must go. Gives a warning for people when the disk stays too full. */
export function guardDisk(options: DiskGuardOptions): string | null {
  const { root, checkpointDir, log } = options;
  let free: { freeBytes: number; totalBytes: number };
  try {
    free = spaceOf(root);
  } catch {
    return null;
  }
  const newest = listCheckpoints(checkpointDir).at(-1);
  const checkpointBytes = newest ? sizeOf(newest) : 0;
  // Nothing is measured that need not be: this runs at each beat.
  if (free.freeBytes >= wantedFree({ ...free, checkpointBytes })) return null;
  const removable = removableOf(options).map((path) => ({ path, bytes: sizeOf(path) }));
  for (const path of planDisk({ ...free, checkpointBytes, removable })) {
    rmSync(path, { recursive: true, force: true });
    log(`the disk is nearly full: removed ${path}`);
  }
  const after = spaceOf(root);
  if (after.freeBytes >= wantedFree({ ...after, checkpointBytes })) return null;
  return `the disk is nearly full: ${megabytes(after.freeBytes)} free of ${megabytes(after.totalBytes)}`;
}

/** Moved-aside checkpoints, then old ones that are in the store (without a store: all but the two newest), then old logs. */
export function removableOf({ checkpointDir, logs, saved, hasStore }: DiskGuardOptions): string[] {
  const parent = dirname(checkpointDir);
  const aside = hasStore
    ? list(parent)
        .filter((name) => name.startsWith(`${basename(checkpointDir)}.outside-`))
        .map((name) => join(parent, name))
    : [];
  const all = listCheckpoints(checkpointDir);
  const newestSaved = all.findIndex((path) => basename(path) === saved());
  // The newest saved one stays as well: it is what a damaged newest falls back to without a download.
  const old = hasStore ? all.slice(0, Math.max(0, newestSaved)) : all.slice(0, -2);
  const oldLogs = list(logs)
    .filter((name) => /^output\.log\.\d+$/.test(name))
    .map((name) => join(logs, name))
    .sort()
    .reverse();
  return [...aside.sort(), ...old, ...oldLogs];
}

function spaceOf(path: string): { freeBytes: number; totalBytes: number } {
  const { bavail, blocks, bsize } = statfsSync(path);
  return { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
}

function sizeOf(path: string): number {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat) return 0;
  if (!stat.isDirectory()) return stat.size;
  return list(path).reduce((sum, name) => sum + sizeOf(join(path, name)), 0);
}

function list(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder) : [];
}

const megabytes = (bytes: number) => `${Math.round(bytes / 1e6)} MB`;
