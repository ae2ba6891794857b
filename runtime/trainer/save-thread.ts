/**
 * Writes checkpoints in a thread beside the training: hashing, writing and waiting for the disk stop no step. What is
 * saved lies in shared memory, so nothing is copied on the way. The thread runs this very file (on a machine, the
 * bundle that it is part of).
 */
import { readlinkSync } from "node:fs";
import { setPriority } from "node:os";
import { basename } from "node:path";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { messageOf } from "../../common/errors.ts";
import { CheckpointManager, type SavedState } from "../checkpoint/index.ts";

export interface SaveTarget {
  localDir: string;
  /** Name of the experiment. */
  experiment: string;
  keepLast: number;
}

export interface SaveThread {
  /** Resolves when the checkpoint is on the disk, with its folder. One at a time. @throws what the disk throws */
  save(saved: SavedState): Promise<string>;
  end(): Promise<void>;
}

type Answer = { folder: string } | { message: string; code: string | undefined };

/** What makes this file, when a thread begins with it, serve. */
const ROLE = "vastlane: save checkpoints";

export function startSaveThread(target: SaveTarget): SaveThread {
  const worker = new Worker(new URL(import.meta.url), { workerData: { role: ROLE, target } });
  let waiting: { resolve: (folder: string) => void; reject: (error: Error) => void } | undefined;
  let broken: Error | undefined;

  function settle(act: (waiter: NonNullable<typeof waiting>) => void): void {
    const waiter = waiting;
    waiting = undefined;
    worker.unref(); // an idle thread keeps nobody from ending
    if (waiter) act(waiter);
  }
  worker.unref();
  worker.on("message", (answer: Answer) =>
    settle(({ resolve, reject }) => {
      if ("folder" in answer) resolve(answer.folder);
      else reject(Object.assign(new Error(answer.message), { code: answer.code }));
    }),
  );
  worker.on("error", (error) => {
    broken = error as Error;
    settle(({ reject }) => reject(error as Error));
  });
  worker.on("exit", (code) => {
    broken ??= new Error(`the thread that saves checkpoints ended with code ${code}`);
    const error = broken;
    settle(({ reject }) => reject(error));
  });

  return {
    save(saved) {
      if (broken) return Promise.reject(broken);
      return new Promise((resolve, reject) => {
        waiting = { resolve, reject };
        worker.ref();
        worker.postMessage(saved);
      });
    },
    async end() {
      await worker.terminate();
    },
  };
}

/**
 * A little less than the training's, which goes first where both want the same core. Much less, and on a busy machine
 * a save would take minutes.
 */
const NICENESS = 5;

/** Linux counts priority by thread; others do without. */
function yieldToOthers(): void {
  try {
    setPriority(Number(basename(readlinkSync("/proc/thread-self"))), NICENESS);
  } catch {
    // no Linux, or not allowed: at equal priority then
  }
}

function serve(port: NonNullable<typeof parentPort>, target: SaveTarget): void {
  yieldToOthers();
  const checkpoints = new CheckpointManager(target);
  port.on("message", async (saved: SavedState) => {
    let answer: Answer;
    try {
      answer = { folder: await checkpoints.save(saved) };
    } catch (error) {
      answer = { message: messageOf(error), code: (error as NodeJS.ErrnoException).code };
    }
    port.postMessage(answer);
  });
}

if (!isMainThread && parentPort && workerData?.role === ROLE) serve(parentPort, workerData.target);
