/** The run's store as this agent uses it: the keeper, with what it needs of the workspace and of the machine. */
import { hostname } from "node:os";
import type { Clock } from "../../common/clock.ts";
import type { Log } from "../../common/log.ts";
import { holderOf } from "../lease/index.ts";
import type { LeaseHeartbeat } from "../lease/types.ts";
import { unixSeconds } from "./heartbeat.ts";
import { type Keeper, keepWorkspace, openKeeper, readPrice, saveOutput, spentHere } from "./keeper/index.ts";
import type { Run } from "./run-file.ts";
import { openRunStore } from "./run-store.ts";
import { testTimes } from "./test-times.ts";
import type { Workspace } from "./workspace.ts";

export interface SharedRunOptions {
  workspace: Workspace;
  run: Run;
  checkpointDir: string;
  /** Unix seconds of the machine's first start. */
  born: number;
  /** Of the agent, and of its container. */
  env: NodeJS.ProcessEnv;
  clock: Clock;
  log: Log;
  /** For people who read the command's output. */
  say(line: string): void;
  heartbeat(): LeaseHeartbeat;
  /** Numbers of the newest step. */
  metrics(): Record<string, number>;
}

/** Undefined where the run has no store. @throws UserError VL_STORE_NO_KEY */
export function openSharedRun(options: SharedRunOptions): Keeper | undefined {
  const { workspace, run, clock, log, say, env } = options;
  const { files } = workspace;
  const store = openRunStore(files.store, env);
  if (!store) return undefined;
  const workspaceKeeper = keepWorkspace({ store, runId: run.runId, workspace, clock, log, say });
  return openKeeper({
    store,
    run,
    holder: holderOf(files.agentId, { contractId: run.contractId, hostname: hostname(), pid: process.pid }),
    checkpointDir: options.checkpointDir,
    outgoing: files.outgoing,
    memoryFile: files.memory,
    clock,
    log,
    say,
    heartbeat: options.heartbeat,
    spentHere: () => spentHere(readPrice(files.price), options.born, unixSeconds(clock.now())),
    metrics: options.metrics,
    restoreWorkspace: (held) => workspaceKeeper.restore(held),
    async saveWorkspace(held, signal) {
      await saveOutput(store, held.epoch, files.output);
      await workspaceKeeper.save(held, signal);
    },
    ...testTimes(env),
  });
}
