/**
 * Taking a run over, in the order that makes it safe at each point at which the machine may die: the lease; what the run
 * record says; this disk's checkpoints moved aside unless they continue the run; the record and this disk's memory; and
 * only then what the store brings back. The lease is taken once: what fails after it is tried again under it.
 */
import { basename } from "node:path";
import { parseCheckpointId } from "../../../common/checkpoint-id.ts";
import type { Clock } from "../../../common/clock.ts";
import { hasCode, messageOf, UserError } from "../../../common/errors.ts";
import type { Log } from "../../../common/log.ts";
import { decideRun, isClosed, type RunDecision, type RunRecord, type RunStatus } from "../../../common/run-record.ts";
import { readLocalManifest, restoreNewest, stepInName } from "../../checkpoint/index.ts";
import {
  acquireLease,
  changeRunRecord,
  describeWaiting,
  type Held,
  LeaseLost,
  lineage,
  readRunRecord,
} from "../../lease/index.ts";
import type { Holder, LeaseHeartbeat } from "../../lease/types.ts";
import type { ObjectStore } from "../../store/types.ts";
import type { Run } from "../run-file.ts";
import { isContinued, type Memory, moveAside, newestWhole, readMemory, writeMemory } from "./local.ts";
import { counted, shareOf, spentByAll } from "./spend.ts";

export interface ClaimOptions {
  store: ObjectStore;
  run: Run;
  holder: Holder;
  checkpointDir: string;
  memoryFile: string;
  clock: Clock;
  log: Log;
  /** For people who read the command's output. */
  say(line: string): void;
  heartbeat(): LeaseHeartbeat;
  /** USD that this machine has cost since its first start. */
  spentHere(): number;
  /** Brings the workspace up to date; it knows whether this disk's is. */
  restoreWorkspace?(held: Held): Promise<void>;
  ttlSeconds?: number | undefined;
  renewMs?: number | undefined;
  pollMs?: number | undefined;
}

export interface ClaimWatch {
  /** As soon as the lease is ours: long before the run is. */
  onHeld(held: Held): void;
  /** Why it takes so long; null: it goes on. */
  onTrouble(why: string | null): void;
}

export interface Taken {
  act: "go";
  memory: Memory;
  isFresh: boolean;
  resumeFrom: string | undefined;
  /** Where `resumeFrom` came out of the store. */
  restored: { id: string; step: number; folder: string } | null;
  /** Ids in the store that did not verify. */
  damaged: ReadonlySet<string>;
}

export type Claimed =
  | Taken
  | { act: "closed"; status: RunStatus; why: string }
  /** `isSettled`: whoever would rent another machine for the run reads why not; else it would meet the same again. */
  | { act: "refused"; why: string; isSettled: boolean };

const WAIT_MS = 10_000;

/**
 * Until the run is ours, or is not to run; the lease is given back then. Everything but a checkpoint or record that
 * cannot be used is waited for: a machine that ends itself over a store that is away would be rented again and again.
 * @throws the signal's reason; LeaseLost
 */
export async function claimRun(options: ClaimOptions, watch: ClaimWatch, signal: AbortSignal): Promise<Claimed> {
  const { store, run, clock, log } = options;
  let held: Held | undefined;
  try {
    // The lease is asked for again and again; what follows is done under the one that came.
    const lease = await patiently(() => takeLease(options, watch, signal));
    held = lease.held;
    watch.onHeld(held);
    const { act, why } = lease.decision;
    if (act === "closed" || act === "refuse") {
      await held.release();
      if (act === "refuse")
        return { act: "refused", why: `the run ${run.runId} is not started: ${why}`, isSettled: true };
      return { act: "closed", status: lease.before?.status ?? "done", why };
    }
    const tenure = held;
    const isFresh = act === "fresh";
    const known = readMemory(options.memoryFile);
    const { previousEpoch, parent, epoch } = tenure;
    const isOurs = isContinued({ memory: known, runId: run.runId, previousEpoch, parent, isFresh });
    const memory = await patiently(() => take(options, { tenure, isFresh, isOurs, known, before: lease.before }));
    const found = await patiently(async () => {
      await options.restoreWorkspace?.(tenure);
      return bringBack(options, tenure, isOurs, AbortSignal.any([signal, tenure.lostSignal]));
    });
    signal.throwIfAborted(); // cut off by an end that has begun meanwhile
    log(`the run is ours: epoch ${epoch}, ${act}`);
    return { act: "go", memory, isFresh, ...found };
  } catch (error) {
    if (signal.aborted || error instanceof LeaseLost || held?.lostSignal.aborted) throw error;
    log(`the run is not taken: ${messageOf(error)}`);
    return { act: "refused", why: messageOf(error), isSettled: held ? await giveUp(held, error) : false };
  }

  /** Tries on while what is wrong may pass. */
  async function patiently<T>(attempt: () => Promise<T>): Promise<T> {
    let told = "";
    for (;;) {
      signal.throwIfAborted();
      held?.lostSignal.throwIfAborted();
      try {
        const result = await attempt();
        watch.onTrouble(null);
        return result;
      } catch (error) {
        signal.throwIfAborted();
        held?.lostSignal.throwIfAborted();
        if (error instanceof LeaseLost || hasCode(error, "VL_CHECKPOINT_BAD")) throw error;
        const text = messageOf(error);
        if (text !== told) {
          options.say(`waiting, as ${isOfStore(error) ? "the run's store" : "this machine"} cannot be used: ${text}`);
          if (!(error instanceof UserError)) log(`${(error as Error).stack}`);
        }
        told = text;
        watch.onTrouble(text);
        await clock.sleep(WAIT_MS, signal);
      }
    }
  }

  /** Another machine would meet the same, and be rented in vain: what a person must mend closes the run. */
  async function giveUp(tenure: Held, error: unknown): Promise<boolean> {
    const finishedAt = new Date(clock.now()).toISOString();
    const change = () => ({ status: "failed" as const, finishedAt, reason: messageOf(error) });
    const isSettled = await changeRunRecord({ store, clock, runId: run.runId }, tenure, change).then(
      () => true,
      (fault) => {
        log(`the run's record could not be closed: ${messageOf(fault)}`);
        return false;
      },
    );
    await tenure.release();
    return isSettled;
  }
}

async function takeLease(options: ClaimOptions, watch: ClaimWatch, signal: AbortSignal) {
  const { store, run, say } = options;
  let decision: RunDecision = { act: "start", why: "" };
  let before: RunRecord | undefined;
  let told: string | undefined;
  const held = await acquireLease({
    store,
    runId: run.runId,
    holder: options.holder,
    clock: options.clock,
    log: options.log,
    signal,
    ttlSeconds: options.ttlSeconds,
    renewMs: options.renewMs,
    pollMs: options.pollMs,
    heartbeat: options.heartbeat,
    onWaiting(waiting) {
      watch.onTrouble(`waiting: ${describeWaiting(waiting)}`);
      const tenure = `${waiting.lease?.epoch} ${waiting.lease?.acquiredAt}`;
      if (told !== tenure) say(`this machine waits: ${describeWaiting(waiting)}; it goes on here when that one ends`);
      told = tenure;
    },
    async fresh() {
      before = await readRunRecord(store);
      decision = decideRun(before, run);
      return decision.act === "fresh";
    },
  });
  return { held, decision, before };
}

interface Takeover {
  tenure: Held;
  isFresh: boolean;
  isOurs: boolean;
  known: Memory | undefined;
  before: RunRecord | undefined;
}

/**
 * Writes down that the run is ours: in its record, and on this disk. What is not to be loaded is moved aside first: once
 * the memory is written, whatever lies in the folder counts as this tenure's own.
 */
async function take(
  options: ClaimOptions,
  { tenure, isFresh, isOurs, before, ...takeover }: Takeover,
): Promise<Memory> {
  const { store, run, clock } = options;
  if (!isOurs) {
    const aside = moveAside(options.checkpointDir, tenure.epoch);
    if (aside) options.say(`checkpoints that do not belong to what goes on were moved to ${aside}`);
  }
  const generation = (before?.generation ?? 0) + (isFresh && before ? 1 : 0);
  const here = options.spentHere();
  const recorded = isFresh ? 0 : (before?.spentUsd ?? 0);
  const share = shareOf({ known: takeover.known, runId: run.runId, generation, here, recorded });
  const memory = { runId: run.runId, epoch: tenure.epoch, generation, share };
  writeMemory(options.memoryFile, memory);
  const spentUsd = spentByAll(share, here);
  const isReopened = before !== undefined && (isFresh || isClosed(before.status));
  await changeRunRecord({ store, clock, runId: run.runId }, tenure, () => ({
    status: "running",
    generation,
    codeHash: run.codeHash,
    paramsHash: run.paramsHash,
    params: run.params,
    finishedAt: null,
    finalStep: null,
    reason: null,
    spentUsd,
    ...(isReopened && { startedAt: new Date(clock.now()).toISOString() }),
  }));
  const known = { ...memory, share: counted(share, here) };
  writeMemory(options.memoryFile, known);
  return known;
}

/** What to resume from: this disk's newest where it continues the run, else the store's, whichever is further. */
async function bringBack(
  { store, run, checkpointDir: dir, log, say }: ClaimOptions,
  { parent }: Held,
  isOurs: boolean,
  signal: AbortSignal,
): Promise<Pick<Taken, "resumeFrom" | "restored" | "damaged">> {
  const local = isOurs ? await newestWhole(dir, log) : undefined;
  const asLocal = { resumeFrom: local, restored: null, damaged: new Set<string>() };
  if (parent === null || (local !== undefined && !isBehind(local, parent))) return asLocal;
  try {
    const expected = { runId: run.runId };
    const found = await restoreNewest({
      store,
      lineage: lineage(store),
      dir,
      expected,
      log: say,
      transfer: { signal },
    });
    if (!found) return asLocal;
    const damaged = new Set(found.damaged.map(({ id }) => id));
    const { id, step } = found.manifest;
    if (local !== undefined && isBehind(found.folder, local)) return { ...asLocal, damaged };
    return { resumeFrom: found.folder, restored: { id, step, folder: basename(found.folder) }, damaged };
  } catch (error) {
    if (!hasCode(error, "VL_CHECKPOINT_BAD") || local === undefined) throw error;
    say(`${messageOf(error)}\n[vastlane] going on from ${local}, which is whole`);
    return asLocal;
  }
}

/** Whether the local `folder` is of an earlier step than the other one; names without a number are not compared. */
function isBehind(folder: string, other: string): boolean {
  const [step, otherStep] = [stepOf(folder), parseCheckpointId(other)?.step ?? stepOf(other)];
  return step !== undefined && otherStep !== undefined && step < otherStep;
}

function stepOf(folder: string): number | undefined {
  try {
    return readLocalManifest(folder)?.step ?? stepInName(basename(folder));
  } catch {
    return stepInName(basename(folder));
  }
}

function isOfStore(error: unknown): boolean {
  return error instanceof UserError && error.code.startsWith("VL_STORE_");
}
