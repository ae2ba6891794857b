/**
 * Brings finished local checkpoints into the store while the command trains on: the newest first, one at a time, again
 * and again while the store is down. A folder that another program still writes into is left until it is quiet.
 */
import { lstatSync, readdirSync } from "node:fs";
import { basename, join } from "node:path";
import type { Clock } from "../../../common/clock.ts";
import { hasCode, messageOf } from "../../../common/errors.ts";
import type { Log } from "../../../common/log.ts";
import {
  createPruner,
  listCheckpoints,
  type Manifest,
  publishFolder,
  type Retention,
  readLocalManifest,
  releaseOthers,
  stepInName,
} from "../../checkpoint/index.ts";
import { LeaseLost, readLineage } from "../../lease/index.ts";
import type { Tenure } from "../../lease/types.ts";
import type { ObjectStore } from "../../store/types.ts";
import { pruneLocal } from "./prune-local.ts";

export interface UploadOptions {
  store: ObjectStore;
  tenure: Tenure;
  clock: Clock;
  log: Log;
  dir: string;
  outgoing: string;
  run: { runId: string; experiment: string | null; contentHash: string };
  /** Local checkpoints that are kept. */
  keepLast: number;
  /** Of the store. */
  retention: Retention;
  /** Ids in the store that did not verify when this machine restored. */
  damaged: ReadonlySet<string>;
  /** Folder names that came from the store. */
  restored: readonly string[];
  /** Of the newest step, for a checkpoint without a manifest of ours. */
  metrics(): Record<string, number>;
  /** An upload has found that another agent has taken the run over. */
  onLost(loss: LeaseLost): void;
}

export interface Uploads {
  /** Newest checkpoint in the store, by this agent's knowledge. */
  newest(): { id: string; step: number; folder: string } | null;
  /** Why the newest local one is not in the store, for people; null when it is, or is under way. */
  problem(): string | null;
  /** Whether nothing on the disk is newer than what is in the store. */
  isSaved(): boolean;
  /** Looks now rather than at the next beat. */
  poke(): void;
  /** Resolves when the newest local checkpoint is in the store; false when `signal` came first. */
  settle(signal: AbortSignal): Promise<boolean>;
  stop(): void;
}

/** Often, as whatever is not in the store yet is lost with the machine; a look costs one listing of a few folders. */
const LOOK_MS = 250;
/** For so long a folder of another program must not change to count as finished. */
const QUIET_MS = 1_000;
const FIRST_WAIT_MS = 1_000;
const MAX_WAIT_MS = 30_000;
const MAX_END_WAIT_MS = 3_000;
const SETTLE_LOOK_MS = 50;

export function startUploads(options: UploadOptions): Uploads {
  const { store, tenure, clock, log, dir, outgoing } = options;
  const life = new AbortController();
  const pruner = createPruner(store, options.retention);
  /** Names and marks of folders that are in the store, or that never will be. */
  const settled = new Map<string, string>(options.restored.map((name) => [name, markOf(join(dir, name)).mark]));
  let newest: { id: string; step: number; folder: string } | null = null;
  let trouble: string | null = null;
  let failures = 0;
  let isBusy = false;
  let isCommandOver = false;
  let wake: () => void = () => {};
  const seen = new Map<string, { mark: string; at: number }>();
  releaseOthers(
    outgoing,
    listCheckpoints(dir).map((folder) => basename(folder)),
  );
  void live();

  return {
    newest: () => newest,
    problem: () => trouble,
    isSaved: () => !isBusy && !isOpen(),
    poke: () => wake(),
    async settle(signal) {
      isCommandOver = true; // what is there is finished
      wake(); // not only after the wait that failures have brought about
      while (!life.signal.aborted) {
        if (!isBusy && !isOpen()) return true;
        if (signal.aborted) return false;
        await clock.sleep(SETTLE_LOOK_MS, signal).catch(() => {});
      }
      return false;
    },
    stop: () => {
      life.abort();
      wake();
    },
  };

  async function live(): Promise<void> {
    while (!life.signal.aborted) {
      const folder = pending();
      if (folder !== undefined) await publish(folder);
      if (life.signal.aborted) return;
      await pause(waitMs());
    }
  }

  function waitMs(): number {
    if (failures === 0) return LOOK_MS;
    // Somebody waits for it, maybe within a grace.
    const longest = isCommandOver ? MAX_END_WAIT_MS : MAX_WAIT_MS;
    return Math.min(FIRST_WAIT_MS * 2 ** (failures - 1), longest);
  }

  /** Local checkpoints that are not in the store as they are now, newest first, down to the last that is. */
  function* open(): Generator<{ folder: string; mark: string; isOurs: boolean }> {
    for (const folder of listCheckpoints(dir).reverse()) {
      const found = { folder, ...markOf(folder) };
      const known = settled.get(basename(folder));
      if (known === found.mark) return;
      if (known !== refused(found.mark)) yield found;
    }
  }

  function isOpen(): boolean {
    return !open().next().done;
  }

  /** The newest of them that is finished: a command may make them faster than one can be told to be quiet. */
  function pending(): string | undefined {
    for (const { folder, mark, isOurs } of open()) {
      // Ours appear whole; a folder of another program counts when it has not changed for a while.
      const before = seen.get(folder);
      const isQuiet = before?.mark === mark && clock.now() - before.at >= QUIET_MS;
      if (isOurs || isCommandOver || isQuiet) return folder;
      if (before?.mark !== mark) seen.set(folder, { mark, at: clock.now() });
    }
    return undefined;
  }

  async function publish(folder: string): Promise<void> {
    isBusy = true;
    const { mark } = markOf(folder);
    try {
      const manifest = await publishFolder({
        store,
        tenure,
        clock,
        folder,
        outgoing,
        run: options.run,
        step: stepInName(basename(folder)),
        metrics: options.metrics(),
        damaged: options.damaged,
        transfer: { signal: life.signal },
      });
      settled.set(basename(folder), mark);
      noteDone(manifest, basename(folder));
      await tidy(folder);
    } catch (error) {
      if (life.signal.aborted) return;
      if (error instanceof LeaseLost) return options.onLost(error);
      if (isGone(error)) return; // pruned by the command before its files could be held
      noteTrouble(folder, mark, error);
    } finally {
      isBusy = false;
    }
  }

  function noteDone({ id, step }: Manifest, folder: string): void {
    if (trouble !== null) log(`uploads work again; checkpoint ${id} is in the store`);
    else log(`checkpoint ${id} is in the store`);
    newest = { id, step, folder };
    trouble = null;
    failures = 0;
  }

  function noteTrouble(folder: string, mark: string, error: unknown): void {
    const text = messageOf(error);
    const isHopeless = hasCode(error, "VL_CHECKPOINT_BAD");
    if (isHopeless) settled.set(basename(folder), refused(mark));
    else failures += 1;
    const shown = text.split("\n")[0] ?? text;
    if (shown !== trouble) log(`checkpoint ${basename(folder)} is not in the store: ${text}`);
    trouble = `not in the store: ${basename(folder)} (${shown})`;
  }

  /** What is no longer needed, here and there. A failure is no reason to stop anything. */
  async function tidy(saved: string): Promise<void> {
    try {
      pruneLocal(dir, options.keepLast, saved);
      if (options.retention.keepRemote === null) return;
      const ids = await readLineage(store);
      // What was read before a freeze says nothing about what the next holder relies on.
      await tenure.assertHeld();
      await pruner.prune(ids, options.damaged);
    } catch (error) {
      if (error instanceof LeaseLost) return options.onLost(error);
      log(`old checkpoints were not removed: ${messageOf(error).split("\n")[0]}`);
    }
  }

  function pause(ms: number): Promise<void> {
    const timer = new AbortController();
    wake = () => timer.abort();
    return clock.sleep(ms, AbortSignal.any([timer.signal, life.signal])).catch(() => {});
  }
}

/** Changes with every file of the folder. Ours have a manifest, which is written before the folder gets its name. */
function markOf(folder: string): { mark: string; isOurs: boolean } {
  const parts: string[] = [];
  const walk = (path: string) => {
    for (const name of readdirSync(path).sort()) {
      const stat = lstatSync(join(path, name));
      parts.push(`${name} ${stat.size} ${stat.mtimeMs} ${stat.ino}`);
      if (stat.isDirectory()) walk(join(path, name));
    }
  };
  try {
    walk(folder);
    return { mark: parts.join("\n"), isOurs: readLocalManifest(folder) !== undefined };
  } catch {
    return { mark: "gone", isOurs: false };
  }
}

/** The mark of a folder that no attempt will bring into the store. */
const refused = (mark: string) => `refused ${mark}`;

function isGone(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === "ENOENT";
}
