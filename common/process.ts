/**
 * Processes named by pid *and* start time: a pid alone is reused, and we end processes by id.
 * On Linux the start time comes from /proc; elsewhere it is unknown (null) and only the pid counts.
 */
import { readFileSync } from "node:fs";
import type { Clock } from "./clock.ts";

export interface ProcessId {
  pid: number;
  /** Clock ticks since boot when the process started (field 22 of /proc/PID/stat), or null where unknown. */
  startTicks: number | null;
}

/** The identity of a live process, for writing it down. */
export function identify(pid: number): ProcessId {
  return { pid, startTicks: statOf(pid)?.startTicks ?? null };
}

/** Whether this very process (not a later one with its pid) still runs. Zombies count as dead. */
export function isAlive(process_: ProcessId): boolean {
  const stat = statOf(process_.pid);
  if (stat) return stat.state !== "Z" && (process_.startTicks === null || stat.startTicks === process_.startTicks);
  if (process.platform === "linux") return false;
  try {
    process.kill(process_.pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** Sends a signal to this very process; false when it was gone already. */
export function signal(process_: ProcessId, name: NodeJS.Signals): boolean {
  if (!isAlive(process_)) return false;
  try {
    process.kill(process_.pid, name);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false;
    throw error;
  }
}

/** SIGTERM, then SIGKILL after `graceMs`; resolves when it is gone. False when SIGKILL did not help within 5 s. */
export async function endProcess(process_: ProcessId, clock: Clock, graceMs = 3000): Promise<boolean> {
  signal(process_, "SIGTERM");
  if (await isGoneWithin(process_, clock, graceMs)) return true;
  signal(process_, "SIGKILL");
  return isGoneWithin(process_, clock, 5000);
}

async function isGoneWithin(process_: ProcessId, clock: Clock, ms: number): Promise<boolean> {
  const end = clock.now() + ms;
  while (isAlive(process_)) {
    if (clock.now() >= end) return false;
    await clock.sleep(25);
  }
  return true;
}

/** When the process with this pid started, in ms since the epoch and exact to a second; undefined where unknown. */
export function startedAt(pid: number): number | undefined {
  const stat = statOf(pid);
  if (!stat) return undefined;
  const bootSeconds = /^btime (\d+)$/m.exec(readFileSync("/proc/stat", "utf8"))?.[1];
  // /proc counts in USER_HZ, which is 100 on every Linux that Node runs on.
  return bootSeconds === undefined ? undefined : (Number(bootSeconds) + stat.startTicks / 100) * 1000;
}

function statOf(pid: number): { state: string; startTicks: number } | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch {
    return undefined; // no such process, or no /proc on this system
  }
  // The second field is the program's name in parentheses and may hold blanks: count from its end.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return { state: fields[0] ?? "?", startTicks: Number(fields[19]) };
}
