/** What the agent says about itself, from what it knows: on this disk and, in the run's lease, to everybody. Pure. */
import type { LeaseHeartbeat } from "../lease/types.ts";
import type { Heartbeat } from "./heartbeat.ts";
import type { Metric } from "./metrics-tail.ts";
import type { Run } from "./run-file.ts";
import { SHOWN, type State } from "./supervise.ts";

export interface Facts {
  /** Unix seconds. */
  now: number;
  startedAt: number;
  pid: number;
  state: State;
  run: Run | undefined;
  /** The command's process, while one runs. */
  childPid: number | undefined;
  /** Of the command, by this agent. */
  starts: number;
  exitCode: number | null;
  metric: Metric | undefined;
  stepsPerSecond: number | null;
  /** Name of the newest local checkpoint's folder. */
  checkpoint: string | undefined;
  /** Undefined without a store. */
  store: { checkpoint: string | null; step: number | null; epoch: number | null; spentUsd: number } | undefined;
  pricePerHour: number | null;
  idleSeconds: number | null;
  gpuUtil: number | null;
  /** What a person should know, the most urgent first. */
  warnings: (string | null | undefined)[];
}

export function heartbeatOf(facts: Facts): Heartbeat {
  const { run, store } = facts;
  return {
    time: facts.now,
    pid: facts.pid,
    childPid: facts.childPid ?? null,
    startedAt: facts.startedAt,
    runId: run?.runId ?? null,
    contentHash: run?.contentHash ?? null,
    checkpoint: facts.checkpoint ?? null,
    stored: store?.checkpoint ?? null,
    epoch: store?.epoch ?? null,
    ...ofCommand(facts),
  };
}

export function leaseHeartbeatOf(facts: Facts): LeaseHeartbeat {
  const { store } = facts;
  return {
    time: new Date(facts.now * 1000).toISOString(),
    stepsPerSecond: facts.stepsPerSecond,
    checkpoint: store?.checkpoint ?? null,
    uploadedStep: store?.step ?? null,
    costUsd: store?.spentUsd ?? 0,
    pricePerHour: facts.pricePerHour,
    idleSeconds: facts.idleSeconds,
    gpuUtil: facts.gpuUtil,
    ...ofCommand(facts),
  };
}

function ofCommand({ state, metric, starts, exitCode, warnings }: Facts) {
  return {
    state: SHOWN[state],
    step: metric?.step ?? null,
    loss: metric?.loss ?? null,
    restarts: Math.max(0, starts - 1),
    exitCode,
    warning: warnings.filter((text) => text).join("; ") || null,
  };
}
