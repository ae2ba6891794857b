/**
 * Locks that a killed engine leaves behind. The file back end writes one file per running operation, with
 * pid, user, host and time, and nobody removes it when that process is killed: without this, no `up` or
 * `destroy` works any more. Locks of live processes, and of other hosts, are never touched.
 */
import { readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { homedir, hostname } from "node:os";
import { join, resolve } from "node:path";
import { type Clock, systemClock } from "../../common/clock.ts";
import { UserError } from "../../common/errors.ts";
import { isAlive, startedAt } from "../../common/process.ts";
import { projectRoot } from "../project.ts";
import { type EnvironmentOptions, projectName, pulumiEnv } from "./environment.ts";

/** Who holds a stack's lock, as the lock file says. */
export interface LockHolder {
  pid: number;
  user: string;
  host: string;
  /** Milliseconds since the Unix epoch. */
  since: number;
}

export interface LockOptions extends EnvironmentOptions {
  clock?: Clock;
}

/**
 * Removes the stack's locks whose process is dead, and gives what was removed.
 * Does nothing for back ends that are not folders: Pulumi Cloud ends its own locks, S3 keeps no live pid.
 * @throws UserError VL_LOCKED when a live process, or one on another host, holds a lock.
 */
export async function recoverLock(stack: string, options: LockOptions = {}): Promise<LockHolder[]> {
  const { clock = systemClock } = options;
  const removed: LockHolder[] = [];
  for (const path of lockFiles(stack, options)) {
    const holder = readLock(path);
    if (holder === undefined) continue; // gone between listing and reading
    if (holder === "unreadable") {
      if (clock.now() - modifiedAt(path) < 60_000) throw lockedError(stack, undefined, clock);
    } else {
      if (isHeld(holder)) throw lockedError(stack, holder, clock);
      removed.push(holder);
    }
    rmSync(path, { force: true });
    rmSync(`${path}.attrs`, { force: true });
  }
  return removed;
}

/** "root@vm (process 4711), since 2026-11-24 06:20:01 UTC, 3 minutes ago" */
export function describeHolder(holder: LockHolder, clock: Clock): string {
  const at = new Date(holder.since).toISOString().replace("T", " ").slice(0, 19);
  const minutes = Math.max(0, Math.floor((clock.now() - holder.since) / 60_000));
  const ago = minutes === 0 ? "less than a minute" : minutes === 1 ? "1 minute" : `${minutes} minutes`;
  return `${holder.user}@${holder.host} (process ${holder.pid}), since ${at} UTC, ${ago} ago`;
}

/** The stack's lock files; none for a back end that is not a folder on this machine. */
function lockFiles(stack: string, options: EnvironmentOptions): string[] {
  const { root = projectRoot } = options;
  const backend = backendFolder(stack, options);
  if (backend === undefined) return [];
  const folder = join(backend, ".pulumi", "locks", "organization", projectName(root), stack);
  try {
    return readdirSync(folder)
      .filter((name) => name.endsWith(".json"))
      .map((name) => join(folder, name));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

/** The folder of the stack's file back end, or undefined. Pulumi reads `file://` loosely: relative paths and `~` are allowed. */
export function backendFolder(stack: string, options: EnvironmentOptions = {}): string | undefined {
  const { root = projectRoot } = options;
  const env = pulumiEnv(stack, options);
  const url = env.PULUMI_BACKEND_URL ?? "";
  if (!url.startsWith("file://")) return undefined;
  const path = decodeURIComponent(url.slice("file://".length).replace(/[?].*$/, ""));
  return resolve(root, path.replace(/^~(?=\/|$)/, env.HOME || homedir()));
}

function readLock(path: string): LockHolder | "unreadable" | undefined {
  try {
    const { pid, username, hostname: host, timestamp } = JSON.parse(readFileSync(path, "utf8"));
    const since = Date.parse(timestamp);
    if (!Number.isInteger(pid) || typeof host !== "string" || Number.isNaN(since)) return "unreadable";
    return { pid, user: String(username), host, since };
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ENOENT" ? undefined : "unreadable";
  }
}

/** Whether the lock's process may still run. A process that started after the lock was taken only reuses its pid. */
function isHeld(holder: LockHolder): boolean {
  if (holder.host !== hostname()) return true; // cannot be known from here
  if (!isAlive({ pid: holder.pid, startTicks: null })) return false;
  const start = startedAt(holder.pid);
  return start === undefined || start <= holder.since + 2000;
}

function modifiedAt(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

function lockedError(stack: string, holder: LockHolder | undefined, clock: Clock): UserError {
  const cancel = `npx pulumi cancel --yes --stack ${stack}`;
  const isHere = holder?.host === hostname();
  return new UserError("VL_LOCKED", {
    what: `Stack ${stack} is being changed by another Pulumi run.`,
    why: holder ? `${describeHolder(holder, clock)}.` : "Its lock file is being written at this moment.",
    hint: isHere
      ? `wait for it to end, or end process ${holder.pid} and run this again`
      : holder
        ? `wait for it to end; if you know that it is dead: eval "$(npx vastlane env ${stack})" && ${cancel}`
        : "run this again in a minute",
  });
}
