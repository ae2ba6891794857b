/**
 * The agent's side of a run that lives longer than its machine: takes the run over (claim.ts), keeps the store up to
 * date while the command works, and closes the run or gives it back.
 * It starts and ends no command; agent.ts does, by what this says.
 */
import { messageOf, UserError } from "../../../common/errors.ts";
import type { RunStatus } from "../../../common/run-record.ts";
import { listCheckpoints } from "../../checkpoint/index.ts";
import { changeRunRecord, type Held, LeaseLost, type RunChange } from "../../lease/index.ts";
import type { OpenStore } from "../../store/index.ts";
import type { Cause } from "../ending.ts";
import { type Claimed, type ClaimOptions, claimRun, type Taken } from "./claim.ts";
import { type Memory, writeMemory } from "./local.ts";
import { counted, spentByAll } from "./spend.ts";
import { startUploads, type Uploads } from "./uploads.ts";

export interface KeeperOptions extends ClaimOptions {
  store: OpenStore;
  outgoing: string;
  /** Numbers of the newest step. */
  metrics(): Record<string, number>;
  /** Saves the workspace; at an end. */
  saveWorkspace?(held: Held, signal: AbortSignal): Promise<void>;
  /** Between two looks at the workspace, default 3 minutes. */
  snapshotMs?: number | undefined;
}

export interface Keeper {
  /** Until the run is ours, or is not to run. @throws the signal's reason; LeaseLost */
  claim(signal: AbortSignal): Promise<Claimed>;
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
  /** To be called at each beat: saves the workspace, and what the run has cost, every few minutes. */
  saveNowAndThen(): void;
  epoch(): number | null;
}

const SNAPSHOT_MS = 3 * 60_000;
const RETRY_MS = 2_000;
/** For the record and the lease, after the grace. */
const GIVE_BACK_MS = 2_500;
const MOST_FAULTS = 5;

export function openKeeper(options: KeeperOptions): Keeper {
  const { store, run, clock, log, say } = options;
  const listeners: ((loss: LeaseLost) => void)[] = [];
  let held: Held | undefined;
  let claiming: Promise<unknown> = Promise.resolve();
  /** Once the run is ours and this disk has what there is to go on from. */
  let taken: { uploads: Uploads; memory: Memory } | undefined;
  let restored: { id: string; step: number; folder: string } | null = null;
  let loss: LeaseLost | undefined;
  let trouble: string | null = null;
  /** Why the workspace is on this disk only; null: it is saved, or will be. */
  let workspaceFault: string | null = null;
  let isSaving = false;
  let hasLeft = false;
  const snapshotMs = options.snapshotMs ?? SNAPSHOT_MS;
  let nextSaveAt = 0;
  const life = new AbortController();

  return {
    async claim(signal) {
      const claim = claimRun(
        options,
        {
          onHeld(tenure) {
            held = tenure;
            void tenure.lost.then(lose);
          },
          onTrouble: (why) => {
            trouble = why;
          },
        },
        signal,
      );
      claiming = claim.catch(() => {});
      try {
        const claimed = await claim;
        if (claimed.act === "go") begin(held as Held, claimed);
        return claimed;
      } catch (error) {
        if (error instanceof LeaseLost) lose(error);
        throw error;
      }
    },
    onLost: (listener) => void listeners.push(listener),
    async finish(cause, { step, reason }, signal) {
      await orAborted(claiming, signal); // one that was cut off must not write after us
      if (!held) return true; // there is nothing to save
      if (taken) {
        if (!(await taken.uploads.settle(signal))) return false;
        if (!(await untilDone(saveWorkspaceOrGiveUp(signal), signal))) return false;
      }
      const status = CLOSES[cause];
      if (status === undefined) return true;
      const finishedAt = new Date(clock.now()).toISOString();
      return untilDone(() => record({ status, finishedAt, finalStep: step, reason }), signal);
    },
    async leave(signal) {
      await orAborted(claiming, signal);
      if (!held || hasLeft) return;
      hasLeft = true;
      const tenure = held;
      // Side by side: a large checkpoint must not take all of the grace from a few small files.
      const saving = Promise.all([
        taken?.uploads.settle(signal),
        saveWorkspace(signal).catch((error) => log(`the workspace was not saved: ${messageOf(error)}`)),
      ]);
      await orAborted(saving, signal);
      taken?.uploads.stop();
      const giveBack = async () => {
        await record({}).catch(() => {}); // the next machine's bill goes on from it
        await tenure.release();
      };
      await Promise.race([giveBack(), clock.sleep(GIVE_BACK_MS)]);
      store.close();
    },
    saved() {
      const newest = taken?.uploads.newest() ?? restored;
      return {
        checkpoint: newest?.id ?? null,
        step: newest?.step ?? null,
        folder: newest?.folder ?? null,
        problem: taken?.uploads.problem() ?? trouble ?? workspaceFault,
        // A run that was never claimed here left nothing to save, unless an earlier agent's checkpoints are there.
        isSaved:
          workspaceFault === null && (taken?.uploads.isSaved() ?? listCheckpoints(options.checkpointDir).length === 0),
      };
    },
    spentUsd: () => (taken ? spentByAll(taken.memory.share, options.spentHere()) : options.spentHere()),
    saveNowAndThen() {
      if (!taken || isSaving || hasLeft || clock.now() < nextSaveAt) return;
      isSaving = true;
      const saving = async () => {
        await saveWorkspace(life.signal);
        await record({});
      };
      void saving()
        .catch((error) => log(`the workspace was not saved: ${messageOf(error).split("\n")[0]}`))
        .finally(() => {
          isSaving = false;
          nextSaveAt = clock.now() + snapshotMs;
        });
    },
    epoch: () => held?.epoch ?? null,
  };

  function begin(tenure: Held, claimed: Taken): void {
    restored = claimed.restored;
    const uploads = startUploads({
      store,
      tenure,
      clock,
      log,
      dir: options.checkpointDir,
      outgoing: options.outgoing,
      run: { runId: run.runId, experiment: null, contentHash: run.contentHash },
      keepLast: run.checkpoint.keepLast,
      retention: run.checkpoint,
      damaged: claimed.damaged,
      restored: restored ? [restored.folder] : [],
      metrics: options.metrics,
      onLost: lose,
    });
    taken = { uploads, memory: claimed.memory };
    if (loss) uploads.stop();
  }

  /** From here on nothing is written any more. */
  function lose(lost: LeaseLost): void {
    if (loss) return;
    loss = lost;
    taken?.uploads.stop();
    life.abort();
    held?.abandon();
    for (const listener of listeners) listener(lost);
  }

  /** Changes the run record; what the run has cost goes along. */
  async function record(change: RunChange): Promise<void> {
    if (!held) return;
    const here = options.spentHere();
    const spent = taken && { spentUsd: spentByAll(taken.memory.share, here) };
    await changeRunRecord({ store, clock, runId: run.runId }, held, () => ({ ...change, ...spent }));
    if (!taken) return;
    taken.memory = { ...taken.memory, share: counted(taken.memory.share, here) };
    writeMemory(options.memoryFile, taken.memory);
  }

  /** Not before the newest has been brought back: what is here would then pass for the newest. */
  async function saveWorkspace(signal: AbortSignal): Promise<void> {
    if (held && taken) await options.saveWorkspace?.(held, signal);
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
        if (error instanceof LeaseLost) {
          lose(error);
          return false;
        }
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

/** Resolves with the work or with the signal, whichever comes first. */
async function orAborted(work: Promise<unknown>, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  const aborted = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
  await Promise.race([work, aborted]);
}
