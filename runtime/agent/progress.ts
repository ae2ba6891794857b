/** How far the command has come, by what it leaves on the disk: lines of metrics.jsonl and checkpoint folders. */
import { basename } from "node:path";
import { listCheckpoints } from "../checkpoint/index.ts";
import { followMetrics, type Metric } from "./metrics-tail.ts";

export interface ProgressWatch {
  look(): { metric: Metric | undefined; checkpoint: string | undefined };
  /** Whether there was a new highest step or a new checkpoint since the last call (or since the watch began). */
  hasProgressed(): boolean;
}

export function watchProgress(metricsPath: string, metricsFrom: number, checkpointDir: string): ProgressWatch {
  const metrics = followMetrics(metricsPath, metricsFrom);
  metrics.poll();
  let seen = { step: metrics.highestStep(), checkpoints: new Set(listCheckpoints(checkpointDir)) };

  return {
    look() {
      const newest = listCheckpoints(checkpointDir).at(-1);
      return { metric: metrics.poll(), checkpoint: newest && basename(newest) };
    },
    hasProgressed() {
      metrics.poll();
      const now = { step: metrics.highestStep(), checkpoints: new Set(listCheckpoints(checkpointDir)) };
      const isNew = now.step > seen.step || [...now.checkpoints].some((path) => !seen.checkpoints.has(path));
      seen = now;
      return isNew;
    },
  };
}
