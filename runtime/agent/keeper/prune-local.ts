/** Keeps the machine's disk from filling up with checkpoints of commands that do not remove their own. */
import { rmSync } from "node:fs";
import { listCheckpoints } from "../../checkpoint/index.ts";

/** Removes what is older than `saved` (which is in the store), but for the newest `keepLast`. Gives what was removed. */
export function pruneLocal(dir: string, keepLast: number, saved: string): string[] {
  const all = listCheckpoints(dir);
  const surplus = all.slice(0, -Math.max(1, keepLast));
  const removed = surplus.slice(0, Math.max(0, all.indexOf(saved)));
  for (const folder of removed) rmSync(folder, { recursive: true, force: true });
  return removed;
}
