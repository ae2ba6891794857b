/** What a run is and how it is treated, as deploy writes it to a machine (`run.json`) and the agent there reads it. */
import type { OnChange } from "./run-record.ts";

export interface RunSettings {
  runId: string;
  /** Program and arguments; null: a dev box, nothing is started. */
  command: string[] | null;
  /** In the request of a deploy relative to the project, on the machine a path. */
  cwd: string;
  env: Record<string, string>;
  params: Record<string, unknown>;
  mode: "dev" | "prod";
  /** Seconds between SIGTERM and SIGKILL. */
  graceSeconds: number;
  /** Crashes in a row without progress after which the agent gives up. */
  maxCrashes: number;
  /** Hours since the machine's first start after which the command is stopped; null: no limit. */
  maxHours: number | null;
  /** What the agent makes of a record of this run with other code or parameters. */
  onCodeChange: OnChange;
  onParamChange: OnChange;
  checkpoint: CheckpointSettings;
  /** Minutes without activity after which a machine is not needed. */
  idleMinutes: number;
  /** What the machine does with itself when it is not needed any more. */
  onDone: "destroy" | "stop";
}

export interface CheckpointSettings {
  everySteps: number;
  everySeconds: number | "auto";
  /** Local ones. */
  keepLast: number;
  /** In the store; null: all. */
  keepRemote: number | null;
  keepEvery: number | null;
  keepBest: number | null;
}
