/** What an agent is told to run, with everything at its quietest: tests name only what they are about. */
import type { RunSpec } from "../../infra/deploy/request.ts";

export function runSpec(changes: Partial<RunSpec> = {}): RunSpec {
  return {
    runId: "test/main",
    command: null,
    cwd: ".",
    env: {},
    params: {},
    mode: "dev",
    graceSeconds: 2,
    maxCrashes: 3,
    contractId: 31,
    maxHours: null,
    onCodeChange: "resume",
    onParamChange: "fresh",
    generation: 0,
    checkpoint: {
      everySteps: 200,
      everySeconds: "auto",
      keepLast: 3,
      keepRemote: null,
      keepEvery: null,
      keepBest: null,
    },
    idleMinutes: 30,
    onDone: "stop",
    ...changes,
  };
}
