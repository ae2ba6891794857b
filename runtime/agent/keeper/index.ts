/**
 * The agent's side of a run that lives longer than its machine: takes the lease, asks the run record what to do,
 * brings back what there is to go on from, keeps the store up to date while the command works, and closes the run.
 * It starts and ends no command; agent.ts does, by what this says.
 */
import { setTimeout as sleepUnlessAborted } from "node:timers/promises";
import type { Clock } from "../../../common/clock.ts";
import { messageOf, UserError } from "../../../common/errors.ts";
import type { Log } from "../../../common/log.ts";
import { decideRun, isClosed, type RunDecision, type RunRecord, type RunStatus } from "../../../common/run-record.ts";
import { listCheckpoints, restoreNewest } from "../../checkpoint/index.ts";
import {
  acquireLease,
  changeRunRecord,
  describeWaiting,
  type Held,
  LeaseLost,
  lineage,
  type RunChange,
  readRunRecord,
} from "../../lease/index.ts";
import type { Holder, LeaseHeartbeat } from "../../lease/types.ts";
import type { OpenStore } from "../../store/index.ts";
import type { Cause } from "../ending.ts";
import type { Run } from "../run-file.ts";
import { isContinued, type Memory, moveAside, newestWhole, readMemory, writeMemory } from "./local.ts";
import { startUploads, type Uploads } from "./uploads.ts";

export interface KeeperOptions {
  store: OpenStore;
  run: Run;
  holder: Holder;
  checkpointDir: string;
  outgoing: string;
  memoryFile: string;
  clock: Clock;
  log: Log;
  /** For people who read the command's output. */
  say(line: string): void;
  heartbeat(): LeaseHeartbeat;
  /** USD that the run has cost on this machine so far. */
  spentHere(): number;
  /** Numbers of the newest step. */
  metrics(): Record<string, number>;
  /** Brings the workspace up to date; it knows whether this disk's is. */
  restoreWorkspace?(held: Held): Promise<void>;
  /** Saves the workspace; at an end. */
  saveWorkspace?(held: Held, signal: AbortSignal): Promise<void>;
  ttlSeconds?: number | undefined;
  renewMs?: number | undefined;
  pollMs?: number | undefined;
  /** Between two looks at the workspace, default 3 minutes. */
  snapshotMs?: number | undefined;
}

export type Claim =
  | { act: "go"; resumeFrom: string | undefined; isFresh: boolean }
  | { act: "closed"; status: RunStatus; why: string }
  | { act: "refused"; why: string };

export interface Keeper {
  /** Until the run is ours, or is not to run. @throws the signal's reason; LeaseLost */
  claim(signal: AbortSignal): Promise<Claim>;
  /** Called when another agent has taken over; from then on nothing more is written. */
  onLost(listener: (loss: LeaseLost) => void): void;
  /**
   * The command is over: brings everything into the store, however long that takes, and closes the record (not for
   * "idle"). False: `signal` came first.
   */
  finish(cause: Cause, facts: { step: number | null; reason: string | null }, signal: AbortSignal): Promise<boolean>;
  /** As much of that as the signal leaves time for, then the lease is given back. */
  leave(signal: AbortSignal): Promise<void>;
  /** Newest checkpoint in the store, what keeps newer ones from it, and whether all is safe. */
  saved(): {
    checkpoint: string | null;
    step: number | null;
    /** Its folder on this disk. */
    folder: string | null;
    problem: string | null;
    isSaved: boolean;
  };
  /** USD over all machines of the run. */
  spentUsd(): number;
  /** To be called at each beat: saves the workspace every few minutes. */
  snapshotNowAndThen(): void;
  epoch(): number | null;
}

/** Codes that a person can mend on the store's side while the machine waits. */
const MAY_PASS = new Set([
  "VL_STORE_DENIED",
  "VL_STORE_NO_BUCKET",
  "VL_STORE_REGION",
  "VL_STORE_CLOCK",
  "VL_STORE_DOWN",
]);
const SNAPSHOT_MS = 3 * 60_000;
const CLAIM_WAIT_MS = 10_000;
const RETRY_MS = 2_000;
const MOST_FAULTS = 5;

export function openKeeper(options: KeeperOptions): Keeper {
  const { store, run, clock, log, say } = options;
  const listeners: ((loss: LeaseLost) => void)[] = [];
  let held: Held | undefined;
  let uploads: Uploads | undefined;
  let memory: Memory | undefined;
  /** What this disk remembered when the run was taken. */
  let previous: Memory | undefined;
  let trouble: string | null = null;
  /** Why the workspace is on this disk only; null: it is saved, or will be. */
  let workspaceFault: string | null = null;
  let isSaving = false;
  let nextSnapshotAt = clock.now() + (options.snapshotMs ?? SNAPSHOT_MS);
  const life = new AbortController();
  let restoredFrom: { id: string; step: number } | null = null;

  return {
    async claim(signal) {
      for (;;) {
        try {
          return await claimOnce(signal);
        } catch (error) {
          signal.throwIfAborted();
          if (error instanceof LeaseLost || !(error instanceof UserError)) throw error;
          if (!MAY_PASS.has(error.code)) {
            await held?.release();
            return { act: "refused", why: error.message };
          }
          if (trouble !== error.message) say(`waiting, as the run's store cannot be used: ${error.message}`);
          trouble = error.message;
          held?.abandon();
          await clock.sleep(CLAIM_WAIT_MS, signal);
        }
      }
    },
    onLost: (listener) => void listeners.push(listener),
    async finish(cause, { step, reason }, signal) {
      if (!held || !uploads) return true; // never claimed: there is nothing to save
      const status = CLOSES[cause];
      if (!(await uploads.settle(signal))) return false;
      if (!(await untilDone(saveWorkspaceOrGiveUp(signal), signal))) return false;
      if (status === undefined) return true;
      const finishedAt = new Date(clock.now()).toISOString();
      const change = () => ({ status, finishedAt, finalStep: step, reason, spentUsd: spentUsd() });
      return untilDone(() => record(change), signal);
    },
    async leave(signal) {
      if (!held) return;
      // Side by side: a large checkpoint must not take all of the grace from a few small files.
      await Promise.all([
        uploads?.settle(signal),
        saveWorkspace(signal).catch((error) => log(`the workspace was not saved: ${messageOf(error)}`)),
      ]);
      await record(() => ({ spentUsd: spentUsd() })).catch(() => {}); // known again by the next machine's bill
      uploads?.stop();
      await Promise.race([held.release(), sleepUnlessAborted(RETRY_MS)]);
      store.close();
    },
    saved: () => ({
      checkpoint: uploads?.newest()?.id ?? restoredFrom?.id ?? null,
      step: uploads?.newest()?.step ?? restoredFrom?.step ?? null,
      folder: uploads?.newest()?.folder ?? null,
      problem: uploads?.problem() ?? trouble ?? workspaceFault,
      // A run that was never claimed here left nothing to save, unless an earlier agent's checkpoints are there.
      isSaved: workspaceFault === null && (uploads?.isSaved() ?? listCheckpoints(options.checkpointDir).length === 0),
    }),
    spentUsd,
    snapshotNowAndThen() {
      if (isSaving || clock.now() < nextSnapshotAt) return;
      isSaving = true;
      void saveWorkspace(life.signal)
        .catch((error) => log(`the workspace was not saved: ${messageOf(error).split("\n")[0]}`))
        .finally(() => {
          isSaving = false;
          nextSnapshotAt = clock.now() + (options.snapshotMs ?? SNAPSHOT_MS);
        });
    },
    epoch: () => held?.epoch ?? null,
  };

  function spentUsd(): number {
    return Math.round(((memory?.spentBefore ?? 0) + options.spentHere()) * 1e6) / 1e6;
  }

  async function claimOnce(signal: AbortSignal): Promise<Claim> {
    let decision: RunDecision | undefined;
    let before: RunRecord | undefined;
    let told = "";
    held = await acquireLease({
      store,
      runId: run.runId,
      holder: options.holder,
      clock,
      log,
      signal,
      ttlSeconds: options.ttlSeconds,
      renewMs: options.renewMs,
      pollMs: options.pollMs,
      heartbeat: options.heartbeat,
      onWaiting(waiting) {
        trouble = `waiting: ${describeWaiting(waiting)}`;
        const holder = waiting.lease?.writeId === undefined ? "?" : waiting.lease.acquiredAt;
        if (told !== holder) say(`this machine waits: ${describeWaiting(waiting)}; it goes on here when that one ends`);
        told = holder;
      },
      async fresh() {
        before = await readRunRecord(store);
        decision = decideRun(before, run);
        return decision.act === "fresh";
      },
    });
    trouble = null;
    const tenure = held;
    tenure.lost.then((loss) => {
      uploads?.stop();
      life.abort();
      for (const listener of listeners) listener(loss);
    });
    const { act, why } = decision as unknown as RunDecision;
    if (act === "closed" || act === "refuse") {
      await tenure.release();
      if (act === "refuse") return { act: "refused", why: `the run ${run.runId} is not started: ${why}` };
      return { act: "closed", status: before?.status ?? "done", why };
    }
    await take(tenure, act === "fresh", before);
    const resumeFrom = await bringBack(tenure, act === "fresh");
    return { act: "go", resumeFrom, isFresh: act === "fresh" };
  }

  /** Writes down that the run is ours: in its record, and on this disk. */
  async function take(tenure: Held, isFresh: boolean, before: RunRecord | undefined): Promise<void> {
    const known = readMemory(options.memoryFile, run.runId);
    const generation = (before?.generation ?? 0) + (isFresh && before ? 1 : 0);
    const spentBefore =
      known && known.generation === generation ? known.spentBefore : isFresh ? 0 : (before?.spentUsd ?? 0);
    memory = { runId: run.runId, epoch: tenure.epoch, generation, spentBefore };
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
      spentUsd: spentUsd(),
      ...(isReopened && { startedAt: new Date(clock.now()).toISOString() }),
    }));
    held = tenure;
    previous = known;
    writeMemory(options.memoryFile, memory);
  }

  async function bringBack(tenure: Held, isFresh: boolean): Promise<string | undefined> {
    const dir = options.checkpointDir;
    const { epoch, previousEpoch, parent } = tenure;
    const damaged = new Set<string>();
    let resumeFrom: string | undefined;
    const restored: string[] = [];
    await options.restoreWorkspace?.(tenure);
    nextSnapshotAt = clock.now(); // one of this tenure, at the next beat
    const isOurs = isContinued({ memory: previous, previousEpoch, parent, isFresh });
    if (!isOurs) {
      const aside = moveAside(dir, epoch);
      if (aside) say(`checkpoints that do not belong to what goes on were moved to ${aside}`);
    }
    const local = isOurs ? await newestWhole(dir, log) : undefined;
    if (local !== undefined) resumeFrom = local;
    else if (parent !== null) {
      const found = await restoreNewest({
        store,
        lineage: lineage(store),
        dir,
        expected: { runId: run.runId },
        log: (line) => say(line),
      });
      if (found) {
        resumeFrom = found.folder;
        restored.push(found.folder.slice(found.folder.lastIndexOf("/") + 1));
        restoredFrom = { id: found.manifest.id, step: found.manifest.step };
        for (const { id } of found.damaged) damaged.add(id);
      }
    }
    uploads = startUploads({
      store,
      tenure,
      clock,
      log,
      dir,
      outgoing: options.outgoing,
      run: { runId: run.runId, experiment: null, contentHash: run.contentHash },
      keepLast: run.checkpoint.keepLast,
      retention: run.checkpoint,
      damaged,
      restored,
      metrics: options.metrics,
    });
    return resumeFrom;
  }

  function record(change: () => RunChange): Promise<unknown> {
    if (!held) return Promise.resolve();
    return changeRunRecord({ store, clock, runId: run.runId }, held, change);
  }

  async function saveWorkspace(signal: AbortSignal): Promise<void> {
    if (held) await options.saveWorkspace?.(held, signal);
  }

  /** The store is waited for; a fault of this machine's own that stays is not, and keeps the machine from going. */
  function saveWorkspaceOrGiveUp(signal: AbortSignal): () => Promise<void> {
    let faults = 0;
    return async () => {
      try {
        await saveWorkspace(signal);
        workspaceFault = null;
      } catch (error) {
        if (error instanceof UserError || error instanceof LeaseLost || signal.aborted) throw error;
        faults += 1;
        if (faults < MOST_FAULTS) throw error;
        workspaceFault = `what was changed on this machine could not be saved: ${messageOf(error).split("\n")[0]}`;
        say(workspaceFault);
      }
    };
  }

  /** Tries on while the store is down. */
  async function untilDone(act: () => Promise<unknown>, signal: AbortSignal): Promise<boolean> {
    while (!signal.aborted) {
      try {
        await act();
        trouble = null;
        return true;
      } catch (error) {
        if (error instanceof LeaseLost) return false;
        trouble = messageOf(error).split("\n")[0] ?? null;
        log(`not closed yet: ${messageOf(error)}`);
        await clock.sleep(RETRY_MS, signal).catch(() => {});
      }
    }
    return false;
  }
}

/** What a cause makes of the run record; a machine that was only idle leaves the run open. */
const CLOSES: Record<Cause, RunStatus | undefined> = {
  done: "done",
  failed: "failed",
  "over-budget": "over-budget",
  idle: undefined,
};
