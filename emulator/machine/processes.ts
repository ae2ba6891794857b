/**
 * Finding every process of a machine. Each carries `VASTLANE_MACHINE=<home>-<contract>` in the environment it was
 * started with, which survives setsid and double forks; sshd overwrites its own environment with a title, so
 * descent from the machine's first process is followed as well. Linux reads /proc; elsewhere `ps` is asked.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, realpathSync } from "node:fs";
import type { Clock } from "../../common/clock.ts";
import { isAlive, type ProcessId, signal } from "../../common/process.ts";

export const MARKER = "VASTLANE_MACHINE";

export interface ProcessRow {
  pid: number;
  parent: number;
  /** CPU time used so far, in ticks of 10 ms. */
  cpuTicks: number;
}

/** Eight hex digits that tell this home's machines, links and bridge from those of other emulators. */
export function homeHash(home: string): string {
  return createHash("sha256").update(realpathSync(home)).digest("hex").slice(0, 8);
}

export function markerOf(home: string, contractId: number): string {
  return `${homeHash(home)}-${contractId}`;
}

/** All live processes. */
export function listProcesses(): ProcessRow[] {
  if (process.platform !== "linux") return listByPs();
  const rows: ProcessRow[] = [];
  for (const name of readdirSync("/proc")) {
    if (name < "1" || name > "9999999999") continue;
    const stat = readQuietly(`/proc/${name}/stat`);
    if (!stat) continue;
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    if (fields[0] === "Z") continue;
    rows.push({ pid: Number(name), parent: Number(fields[1]), cpuTicks: Number(fields[11]) + Number(fields[12]) });
  }
  return rows;
}

/** The machine marker that a process was started with; undefined for none or another user's process. */
export function readMarker(pid: number): string | undefined {
  if (process.platform !== "linux") return markersByPs().get(pid);
  return markerIn(readQuietly(`/proc/${pid}/environ`)?.split("\0"));
}

/** Every process whose marker starts with `prefix`, by marker. */
export function findMarked(prefix: string): Map<string, number[]> {
  const byPs = process.platform === "linux" ? undefined : markersByPs();
  const found = new Map<string, number[]>();
  for (const { pid } of listProcesses()) {
    const marker = byPs ? byPs.get(pid) : readMarker(pid);
    if (pid === process.pid || !marker?.startsWith(prefix)) continue;
    found.set(marker, [...(found.get(marker) ?? []), pid]);
  }
  return found;
}

/** `root` and all that descends from it, by parent ids. */
export function descendants(root: number, rows: ProcessRow[]): number[] {
  const children = new Map<number, number[]>();
  for (const { pid, parent } of rows) children.set(parent, [...(children.get(parent) ?? []), pid]);
  const found: number[] = [];
  const queue = [root];
  for (let pid = queue.pop(); pid !== undefined; pid = queue.pop()) {
    if (found.includes(pid)) continue;
    found.push(pid);
    queue.push(...(children.get(pid) ?? []));
  }
  return found;
}

/** Every process of a plain machine: marked, or descending from its sshd. */
export function familyOf(first: ProcessId | undefined, marker: string): number[] {
  const family = new Set(findMarked(marker).get(marker) ?? []);
  const rows = listProcesses();
  const roots = [...family, ...(first && isAlive(first) ? [first.pid] : [])];
  for (const root of roots) for (const pid of descendants(root, rows)) family.add(pid);
  family.delete(process.pid);
  return [...family];
}

/**
 * SIGKILL for a whole plain machine. The first process is frozen meanwhile, so that it can start nothing new,
 * and dies last, so that descent from it stays visible until nobody else is left.
 */
export async function endFamily(first: ProcessId | undefined, marker: string, clock: Clock): Promise<void> {
  if (first) signal(first, "SIGSTOP");
  const end = clock.now() + 5000;
  while (clock.now() < end) {
    const others = familyOf(first, marker).filter((pid) => pid !== first?.pid);
    if (others.length === 0) break;
    for (const pid of others) kill(pid);
    await clock.sleep(5);
  }
  if (first) await endProcesses([first], clock);
}

/** SIGKILL, and waits until they are gone (at most 5 s). */
export async function endProcesses(processes: ProcessId[], clock: Clock): Promise<void> {
  for (const one of processes) signal(one, "SIGKILL");
  const end = clock.now() + 5000;
  while (processes.some(isAlive) && clock.now() < end) await clock.sleep(2);
}

export function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

function markerIn(words: string[] | undefined): string | undefined {
  return words?.find((word) => word.startsWith(`${MARKER}=`))?.slice(MARKER.length + 1);
}

function readQuietly(path: string): string | undefined {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return undefined; // it ended meanwhile, or belongs to somebody else
  }
}

function listByPs(): ProcessRow[] {
  return ps(["-axo", "pid=,ppid="]).map((line) => {
    const [pid = 0, parent = 0] = line.trim().split(/\s+/).map(Number);
    return { pid, parent, cpuTicks: 0 };
  });
}

/** -E shows each of the user's own processes with its environment (macOS). */
function markersByPs(): Map<number, string> {
  const found = new Map<number, string>();
  for (const line of ps(["-axwwE", "-o", "pid=,command="])) {
    const [pid = "", ...words] = line.trim().split(/\s+/);
    const marker = markerIn(words);
    if (marker) found.set(Number(pid), marker);
  }
  return found;
}

function ps(args: string[]): string[] {
  return execFileSync("ps", args, { encoding: "utf8", maxBuffer: 64 << 20 })
    .split("\n")
    .filter(Boolean);
}
