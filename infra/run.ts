/**
 * What a stack's run record means for its machines, before any of them is rented: the program and the command line ask
 * here. The record outranks the market: a run that has ended is not rented again, and one whose code or parameters
 * may not change is not started.
 */
import { UserError } from "../common/errors.ts";
import { decideRun, describeRun, type RunDecision, type RunRecord, runError } from "../common/run-record.ts";
import type { StackConfig } from "./config.ts";
import { readContent, runHashes } from "./deploy/index.ts";
import { environmentOf } from "./project.ts";
import { runIdOf } from "./run-id.ts";
import { keysIn, resolveStore, type Store } from "./storage/access.ts";
import { type Reopening, readRunRecord } from "./storage/run-record.ts";

export interface RunPlan {
  runId: string;
  /** Undefined: the stack has no store, so nothing is known of earlier machines. */
  store: Store | undefined;
  /** The store has no such bucket: it has to be made, also where the state says that it was. */
  isBucketMissing: boolean;
  act: RunDecision["act"];
  /** The run has ended: nothing may be rented for it, and what is still there ends. */
  isClosed: boolean;
  /** Fresh starts of the run, the coming one included. */
  generation: number;
  /** For people, one line; undefined when there is nothing to say. */
  text: string | undefined;
  /** In a few words, for the stack's outputs. */
  status: string;
}

export interface RunPlanOptions {
  root: string;
  stack: string;
  config: StackConfig;
  /** Of the project as it is; read here when not given. */
  hashes?: { codeHash: string; paramsHash: string };
  env?: NodeJS.ProcessEnv;
  /** As if the record already said so: what `up --fresh` or `--resume` is about to do. */
  reopening?: Reopening | undefined;
}

/**
 * Reads the record and decides. The store is asked first in everything, so that one that is down, closed or in another
 * region stops an `up` before it costs anything.
 * @throws UserError VL_STORE_*, VL_RUN_REFUSED, VL_CHECKPOINT_BAD, VL_EMULATOR_DOWN
 */
export async function planRun(options: RunPlanOptions): Promise<RunPlan> {
  const { root, stack, config, env = environmentOf(root) } = options;
  const runId = runIdOf(stack, config);
  const store = resolveStore(config, root, env);
  if (!store) {
    const status = "no store: checkpoints are on the machine's disk only";
    return {
      runId,
      store,
      isBucketMissing: false,
      act: "start",
      isClosed: false,
      generation: 0,
      text: undefined,
      status,
    };
  }
  const [found] = await Promise.all([read(store, runId), tryRunKeys(store, runId, env)]);
  const record = found === "no-bucket" ? undefined : found;
  const { onCodeChange, onParamChange } = config.experiment;
  const wanted = { ...(options.hashes ?? hashesOf(root, config)), onCodeChange, onParamChange };
  const seen: RunRecord | undefined = options.reopening && record ? { ...record, status: options.reopening } : record;
  return { store, isBucketMissing: found === "no-bucket", ...planOf(runId, stack, seen, decideRun(seen, wanted)) };
}

/** Pure. @throws UserError VL_RUN_REFUSED */
export function planOf(
  runId: string,
  stack: string,
  record: RunRecord | undefined,
  decision: RunDecision,
): Omit<RunPlan, "store" | "isBucketMissing"> {
  const { act, why } = decision;
  if (act === "refuse") throw runError(runId, decision);
  const generation = (record?.generation ?? 0) + (act === "fresh" ? 1 : 0);
  const status = act === "fresh" ? "it starts anew" : record ? describeRun(record) : "it has not started yet";
  const plan = { runId, act, isClosed: act === "closed", generation, status };
  return { ...plan, text: textOf(plan, stack, why) };
}

function textOf({ runId, act }: Pick<RunPlan, "runId" | "act">, stack: string, why: string): string | undefined {
  if (act === "closed")
    return `run ${runId} is not rented again: ${why}. Anew: vastlane up --fresh --stack ${stack}; to go on from its last checkpoint: --resume`;
  if (act === "fresh") return `run ${runId} starts anew: ${why}. Its checkpoints stay in the store`;
  if (act === "resume" && why !== "nothing has changed") return `run ${runId} goes on: ${why}`;
  return undefined;
}

function hashesOf(root: string, config: StackConfig) {
  const { command, params, env } = config.experiment;
  if (command === null) return { codeHash: "", paramsHash: "" };
  return runHashes({ command, params, env, mode: config.mode }, readContent(root, config.workspace.sync).hash);
}

/** Keys that a person made for machines are tried here: on a machine, wrong ones would cost a rent. */
async function tryRunKeys(store: Store, runId: string, env: NodeJS.ProcessEnv): Promise<void> {
  if (store.isEmulated || store.kind === "aws") return;
  const keys = keysIn(env, "VASTLANE_RUN_");
  if (keys) await read({ ...store, keys, profile: null, keysFrom: "VASTLANE_RUN_ACCESS_KEY_ID" }, runId);
}

async function read(store: Store, runId: string): Promise<RunRecord | "no-bucket" | undefined> {
  try {
    return await readRunRecord(store, runId);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const { code, what, why, hint } = error;
    throw new UserError(code, {
      what,
      ...(why !== undefined && { why }),
      hint: `${hint ?? "try again"}\nnothing was rented, changed or ended`,
      cause: error,
    });
  }
}
