/** How busy machines are and how much disk they hold: looked up when asked, and not more often than is cheap. */
import type { Clock } from "../../common/clock.ts";
import { gpuLoad } from "./gpu.ts";
import { listProcesses } from "./processes.ts";
import { runTool } from "./tools.ts";

const LOAD_EVERY_MS = 1000;
const DISK_EVERY_MS = 10_000;
const TICKS_PER_MS = 0.1;

export interface LoadMeter {
  /** GPU load in percent since the look before; 0 until two looks were taken. */
  gpuUtil(contractId: number): number;
}

/** One look at the process table serves all machines. `owners` is asked anew for each look. */
export function createLoadMeter(owners: () => (pid: number) => number | undefined, clock: Clock): LoadMeter {
  let at = 0;
  let ticks = new Map<number, number>();
  let load = new Map<number, number>();

  function look(): void {
    const now = clock.now();
    const ownerOf = owners();
    const seen = new Map<number, number>();
    const busy = new Map<number, number>();
    for (const { pid, cpuTicks } of listProcesses()) {
      const owner = ownerOf(pid);
      if (owner === undefined) continue;
      seen.set(pid, cpuTicks);
      // A process that is new since the last look has used all its time since then.
      const used = at === 0 ? 0 : Math.max(0, cpuTicks - (ticks.get(pid) ?? 0));
      busy.set(owner, (busy.get(owner) ?? 0) + used);
    }
    const elapsed = (now - at) * TICKS_PER_MS;
    load = new Map([...busy].map(([owner, used]) => [owner, gpuLoad(used / elapsed)]));
    ticks = seen;
    at = now;
  }

  return {
    gpuUtil(contractId) {
      if (clock.now() - at >= LOAD_EVERY_MS) look();
      return load.get(contractId) ?? 0;
    },
  };
}

export interface DiskMeter {
  /** Bytes in the folder when it was last counted; the first question counts in the background and answers 0. */
  usedBytes(path: string): number;
  forget(path: string): void;
}

/** Counting goes through `du`: walking a disk with many files would hold up the daemon. */
export function createDiskMeter(clock: Clock): DiskMeter {
  const counts = new Map<string, { bytes: number; at: number }>();
  const counting = new Set<string>();

  async function count(path: string): Promise<void> {
    counting.add(path);
    const { output } = await runTool("du", ["-sk", path], {
      env: { PATH: process.env.PATH ?? "/usr/bin:/bin", LC_ALL: "C" },
    });
    // Files that vanish meanwhile are complained about before the total.
    const kilobytes = Number(/^(\d+)\s/m.exec(output)?.[1] ?? 0);
    counts.set(path, { bytes: kilobytes * 1024, at: clock.now() });
  }

  return {
    usedBytes(path) {
      const last = counts.get(path);
      const isFresh = last && clock.now() - last.at < DISK_EVERY_MS;
      if (!isFresh && !counting.has(path)) {
        count(path)
          .catch(() => {})
          .finally(() => counting.delete(path));
      }
      return last?.bytes ?? 0;
    },
    forget: (path) => counts.delete(path),
  };
}
