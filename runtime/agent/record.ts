/**
 * What the agent remembers across its own death and the machine's restarts: which run it serves since when, and
 * whether that run has come to an end. A run that ended is not started again; other content (a new hash) is a new
 * job of the same run, another run id is another run.
 */
import { readJsonIfThere } from "../../common/files.ts";
import type { Run } from "./run-file.ts";

export interface RunRecord {
  runId: string;
  contentHash: string;
  /** Unix seconds of the first start of this run on this disk. */
  firstStartedAt: number;
  /** Byte offset in metrics.jsonl at which this run's lines begin. */
  metricsFrom: number;
  outcome: "done" | "failed" | null;
  exitCode: number | null;
}

/** The record to go on with. `retryFailed`: a person asks for another try (a redeploy). Pure. */
export function continueRecord(
  previous: RunRecord | undefined,
  run: Run,
  now: { seconds: number; metricsBytes: number; retryFailed: boolean },
): RunRecord {
  const fresh = { runId: run.runId, contentHash: run.contentHash, outcome: null, exitCode: null };
  if (previous?.runId !== run.runId) {
    return { ...fresh, firstStartedAt: now.seconds, metricsFrom: now.metricsBytes };
  }
  const isOver = previous.outcome === "done" || (previous.outcome === "failed" && !now.retryFailed);
  if (previous.contentHash === run.contentHash && isOver) return previous;
  return { ...fresh, firstStartedAt: previous.firstStartedAt, metricsFrom: previous.metricsFrom };
}

/** Unreadable records count as none: the worst that follows is that a finished command looks and ends at once. */
export function readRecord(path: string): RunRecord | undefined {
  try {
    const record = readJsonIfThere(path) as RunRecord | undefined;
    return typeof record?.runId === "string" ? record : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Unix seconds at which the command has to be told to stop, or undefined for no limit. It comes before the end of
 * `maxHours`, when the onstart watchdog destroys the machine: by the grace, and by what saving takes after it.
 */
export function deadlineOf(run: Run, startSeconds: number, savingSeconds = 30): number | undefined {
  if (run.maxHours === null) return undefined;
  const seconds = run.maxHours * 3600;
  return startSeconds + seconds - Math.min(run.graceSeconds + savingSeconds, seconds / 10);
}
