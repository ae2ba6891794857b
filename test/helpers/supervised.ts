/** What an agent has started, seen from outside: processes that carry its mark. */
import { readdirSync, readFileSync } from "node:fs";

/** Live processes of the workspace's agent: commands and all that descends from them. */
export function findSupervised(workspace: string): number[] {
  return readdirSync("/proc")
    .map(Number)
    .filter((pid) => Number.isInteger(pid) && isSupervised(pid, `VASTLANE_SUPERVISED_IN=${workspace}`));
}

/** Only the commands themselves: leaders of their process groups. */
export function findCommands(workspace: string): number[] {
  return findSupervised(workspace).filter((pid) => fieldsOf(pid)[2] === String(pid));
}

export function sessionOf(pid: number): number {
  return Number(fieldsOf(pid)[3]);
}

function isSupervised(pid: number, mark: string): boolean {
  try {
    return fieldsOf(pid)[0] !== "Z" && readFileSync(`/proc/${pid}/environ`, "utf8").split("\0").includes(mark);
  } catch {
    return false;
  }
}

/** State, parent, group, session ... of /proc/PID/stat; empty when the process is gone. */
function fieldsOf(pid: number): string[] {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  } catch {
    return [];
  }
}
