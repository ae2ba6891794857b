/**
 * run.json in the store, as the agent reads and writes it: only under the lease, conditional on what was read, and
 * marked with the epoch, so that an agent that has lost the run cannot close it for the one that has it.
 */
import { randomUUID } from "node:crypto";
import type { Clock } from "../../common/clock.ts";
import { parseRunRecord, RUN_RECORD_KEY, type RunRecord } from "../../common/run-record.ts";
import { ConditionFailed, type ObjectStore } from "../store/types.ts";
import { LeaseLost } from "./lost.ts";
import type { Tenure } from "./types.ts";

const MAX_ROUNDS = 16;

/** What a change may set; the rest is bookkeeping. */
export type RunChange = Partial<Omit<RunRecord, "format" | "runId" | "epoch" | "updatedAt" | "writeId">>;

/** @throws UserError VL_STORE_*; VL_CHECKPOINT_BAD when it is damaged or of a newer vastlane */
export async function readRunRecord(store: ObjectStore): Promise<RunRecord | undefined> {
  const found = await store.get(RUN_RECORD_KEY);
  return found && parseRunRecord(found.body);
}

/**
 * Writes what `change` makes of the record as it is (undefined: there is none). It is asked again when somebody else,
 * `--fresh` for instance, was faster. The status "fresh" stays until a change raises the generation. The first write under
 * a lease is what keeps older agents from writing.
 * @throws LeaseLost; UserError VL_STORE_* or VL_CHECKPOINT_BAD
 */
export async function changeRunRecord(
  { store, clock, runId }: { store: ObjectStore; clock: Clock; runId: string },
  tenure: Tenure,
  change: (record: RunRecord | undefined) => RunChange,
): Promise<RunRecord> {
  await tenure.assertHeld();
  const hasConditions = await store.hasConditions();
  const tried = new Set<string>();
  let failure: unknown;
  for (let round = 0; round < MAX_ROUNDS; round += 1) {
    const found = await store.get(RUN_RECORD_KEY);
    const before = found && parseRunRecord(found.body);
    if (before && tried.has(before.writeId)) return before; // the reply was lost
    if (failure !== undefined && !(failure instanceof ConditionFailed)) throw failure;
    if (before && before.epoch > tenure.epoch) throw new LeaseLost(tenure.epoch, { epoch: before.epoch });
    const now = new Date(clock.now()).toISOString();
    const changed = { ...(before ?? blankRecord(runId, now)), ...change(before) };
    const next: RunRecord = {
      ...changed,
      ...(isStillAsked(before, changed) && { status: "fresh" as const }),
      epoch: tenure.epoch,
      updatedAt: now,
      writeId: randomUUID(),
    };
    tried.add(next.writeId);
    const condition = found ? { ifMatch: found.etag } : ({ ifNoneMatch: "*" } as const);
    try {
      await store.put(RUN_RECORD_KEY, JSON.stringify(next), hasConditions ? condition : undefined);
      return next;
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
}

/** A person's wish to start anew outlives whatever the present agent writes, until a new generation has begun. */
function isStillAsked(before: RunRecord | undefined, after: RunRecord): boolean {
  return before?.status === "fresh" && after.generation <= before.generation;
}

/** The record of a run that starts now. */
function blankRecord(runId: string, now: string): RunRecord {
  return {
    format: 1,
    runId,
    status: "running",
    generation: 0,
    epoch: 0,
    codeHash: "",
    paramsHash: "",
    params: {},
    spentUsd: 0,
    startedAt: now,
    updatedAt: now,
    finishedAt: null,
    finalStep: null,
    reason: null,
    writeId: "",
  };
}
