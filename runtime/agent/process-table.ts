/**
 * Whose process is whose: members of a process group, and processes that carry our mark in their environment.
 * Linux reads /proc; elsewhere (an emulator in plain mode on a Mac) only the group can be asked for.
 */
import { readdirSync, readFileSync } from "node:fs";

/** Whether any process of the group still runs. Zombies do not count: a container's first process may never reap. */
export function isGroupAlive(groupId: number): boolean {
  if (!signalGroup(groupId, 0)) return false;
  if (process.platform !== "linux") return true;
  return processIds().some((pid) => {
    const stat = readStat(pid);
    return stat?.group === groupId && stat.state !== "Z";
  });
}

/** Sends a signal to a whole process group; false when nobody was there. */
export function signalGroup(groupId: number, signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(-groupId, signal);
    return true;
  } catch {
    return false;
  }
}

/** Groups of the processes that have exactly `mark` ("NAME=value") in the environment they were started with. */
export function markedGroups(mark: string): number[] {
  if (process.platform !== "linux") return [];
  const own = readStat(process.pid)?.group;
  const groups = new Set<number>();
  for (const pid of processIds()) {
    if (!readProc(pid, "environ")?.split("\0").includes(mark)) continue;
    const stat = readStat(pid);
    if (stat && stat.state !== "Z" && stat.group !== own) groups.add(stat.group);
  }
  return [...groups];
}

function processIds(): number[] {
  return readdirSync("/proc").map(Number).filter(Number.isInteger);
}

function readStat(pid: number): { state: string; group: number } | undefined {
  const text = readProc(pid, "stat");
  if (text === undefined) return undefined;
  const [state = "?", , group] = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return { state, group: Number(group) };
}

function readProc(pid: number, name: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${name}`, "utf8");
  } catch {
    return undefined; // ended meanwhile, or another user's
  }
}
