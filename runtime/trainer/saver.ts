/**
 * Saves beside the training, one at a time: the state is copied while training stands still, which takes about as long
 * as copying memory does, and written by a thread. Knows what its saves cost.
 */
import type { SavedState } from "../checkpoint/index.ts";
import { type SaveTarget, startSaveThread } from "./save-thread.ts";
import { makeSnapshot } from "./snapshot.ts";

/** Bytes per second, for an estimate before the first save. */
const COPIED_PER_SECOND = 2e9;
const WRITTEN_PER_SECOND = 2e8;

export interface Saver {
  /** Whether a save is on. @throws what went wrong with the last one */
  isBusy(): boolean;
  /** Copies the state and returns; it is written beside. Not while busy. */
  begin(saved: SavedState): void;
  /** Waits for the save that is on; false when a full disk was in its way. @throws what else went wrong with it */
  settle(): Promise<boolean>;
  /** A step took so long: while a save is on, what it takes beyond the usual is part of the save's cost. */
  stepTook(seconds: number): void;
  /** What a save of so many bytes costs training, and how long it is on: measured on the last ones, else estimated. */
  cost(bytes: number): { stallSeconds: number; writeSeconds: number };
  /** Folder of the last checkpoint that was written. */
  newest(): string | undefined;
  end(): Promise<void>;
}

/** `seconds`: a clock that only goes forward. */
export function openSaver(target: SaveTarget, seconds: () => number, log: (line: string) => void): Saver {
  const thread = startSaveThread(target);
  const snapshot = makeSnapshot();
  let writing: Promise<void> | undefined;
  let failure: Error | undefined;
  let lost = 0; // seconds, by the save that is on
  let usualSteps: number[] = []; // seconds of the last ones without a save
  let stallSeconds: number | undefined;
  let writeSeconds: number | undefined;
  let newest: string | undefined;
  let isDiskFull = false;

  return {
    isBusy() {
      if (failure) throw failure;
      return writing !== undefined;
    },
    begin(saved) {
      const begun = seconds();
      const written = thread.save({ ...saved, tensors: snapshot.take(saved.tensors) });
      lost = seconds() - begun;
      writing = written
        .then((folder) => {
          newest = folder;
          isDiskFull = false;
          stallSeconds = blend(stallSeconds, lost);
          writeSeconds = blend(writeSeconds, seconds() - begun);
        })
        .catch((error: NodeJS.ErrnoException) => {
          // Training is worth more than one checkpoint of it: with a full disk it goes on without.
          if (error.code === "ENOSPC" || error.code === "EDQUOT") {
            isDiskFull = true;
            log(`disk full: checkpoint of step ${saved.step} not written`);
          } else failure = error;
        })
        .finally(() => {
          writing = undefined;
        });
    },
    async settle() {
      await writing;
      if (failure) throw failure;
      return !isDiskFull;
    },
    stepTook(took) {
      if (writing) lost += Math.max(0, took - (median(usualSteps) ?? took));
      else usualSteps = [...usualSteps.slice(-30), took];
    },
    cost: (bytes) => ({
      stallSeconds: stallSeconds ?? bytes / COPIED_PER_SECOND,
      writeSeconds: writeSeconds ?? bytes / WRITTEN_PER_SECOND,
    }),
    newest: () => newest,
    end: () => thread.end(),
  };
}

/** Half of it is the latest: one slow save on a busy machine is not all there is to say. */
const blend = (before: number | undefined, now: number) => (before === undefined ? now : (before + now) / 2);

function median(values: readonly number[]): number | undefined {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
}
