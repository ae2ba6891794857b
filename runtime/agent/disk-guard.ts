/**
 * Keeps the machine's disk from filling up: frees what is ours and not needed, oldest first, before there is none left.
 * Never a person's files, and never the newest checkpoint. What to remove is a pure plan.
 */
import { lstatSync, rmSync, statfsSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { messageOf } from "../../common/errors.ts";
import { namesIn } from "../../common/files.ts";
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

/** Removes what must go. Gives a warning for people when the disk stays too full. Never throws: it runs at each beat. */
export function guardDisk(options: DiskGuardOptions): string | null {
  try {
    return guard(options);
  } catch (error) {
    options.log(`the disk's space could not be looked after: ${messageOf(error)}`);
    return null;
  }
}

function guard(options: DiskGuardOptions): string | null {
  const { root, checkpointDir, log } = options;
  const newest = listCheckpoints(checkpointDir).at(-1);
  const checkpointBytes = newest ? sizeOf(newest) : 0;
  const before = spaceOf(root);
  // Nothing is measured that need not be.
  if (before.freeBytes >= wantedFree({ ...before, checkpointBytes })) return null;
  const removable = removableOf(options).map((path) => ({ path, bytes: sizeOf(path) }));
  for (const path of planDisk({ ...before, checkpointBytes, removable })) {
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
    ? namesIn(parent)
        .filter((name) => name.startsWith(`${basename(checkpointDir)}.outside-`))
        .map((name) => join(parent, name))
    : [];
  const all = listCheckpoints(checkpointDir);
  const newestSaved = all.findIndex((path) => basename(path) === saved());
  // The newest saved one stays as well: it is what a damaged newest falls back to without a download.
  const old = hasStore ? all.slice(0, Math.max(0, newestSaved)) : all.slice(0, -2);
  const oldLogs = namesIn(logs)
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

/** Bytes below a path, links not followed; a command may remove its own checkpoints meanwhile. */
function sizeOf(path: string): number {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (!stat?.isDirectory()) return stat?.size ?? 0;
  return namesIn(path).reduce((sum, name) => sum + sizeOf(join(path, name)), 0);
}

const megabytes = (bytes: number) => `${Math.round(bytes / 1e6)} MB`;
