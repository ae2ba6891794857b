/** What the agent says about itself every few seconds, in heartbeat.json: for the watchdog, `status` and people. */
import type { ShownState } from "./supervise.ts";

export interface Heartbeat {
  /** Unix seconds. */
  time: number;
  pid: number;
  state: ShownState;
  /** The command's process, null while none runs. */
  childPid: number | null;
  /** Starts of the command by this agent, the first not counted. */
  restarts: number;
  /** Of the command's last end, null before. */
  exitCode: number | null;
  /** From the last line of metrics.jsonl, null before the first. */
  step: number | null;
  loss: number | null;
  /** Unix seconds of this agent's start. */
  startedAt: number;
  runId: string | null;
  contentHash: string | null;
  /** Name of the newest checkpoint's folder. */
  checkpoint: string | null;
  /** Id of the newest checkpoint in the store, and the lease's epoch; null without a store. */
  stored: string | null;
  epoch: number | null;
  /** What a person should know: disk full, a crash, the time limit. Null when all is well. */
  warning: string | null;
}

/** Seconds with milliseconds, for JSON. */
export function unixSeconds(ms: number): number {
  return Math.round(ms) / 1000;
}
