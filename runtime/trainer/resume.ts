/**
 * Which checkpoint a training goes on from: the one that VASTLANE_RESUME_FROM names, else the newest that is whole. A
 * damaged one is said and passed over. One of another experiment, of other parameters or of a newer format is refused
 * by name: to begin anew in its place would look like a run that lost its memory.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { messageOf, UserError } from "../../common/errors.ts";
import type { Log } from "../../common/log.ts";
import { readStored } from "../../common/stored-json.ts";
import {
  DamagedCheckpoint,
  listCheckpoints,
  readLocalManifest,
  readSafetensors,
  STATE,
  stepInName,
  TENSORS,
  type Tensors,
  verifyFolder,
} from "../checkpoint/index.ts";

/** What a checkpoint keeps beside tensors, as JSON. */
export interface SavedProgress {
  format: 1;
  step: number;
  /** `offset` examples of epoch `epoch` were seen, out of `examples`. */
  data: { epoch: number; offset: number; examples: number; seed: number };
  schedule: { learningRate: number };
  /** Sum of the losses since the last one logged, how many they are, and the last one logged. */
  loss: { sum: number; count: number; last: number | null };
  /** Step of the last evaluation, -1 before the first, and what it gave. */
  evaluation: { step: number; loss: number | null };
  /** For the interval: see `Observed`. */
  interruptions: number;
  activeSeconds: number;
  /** Saved because it was told to stop; what follows is no interruption. */
  isStop: boolean;
  /** Parameters of the experiment. */
  params: Record<string, unknown>;
}

export interface Resumable {
  folder: string;
  progress: SavedProgress;
  tensors: Tensors;
}

export interface Search {
  dir: string;
  /** Folder to try first. */
  wanted: string | undefined;
  experiment: string;
  params: object;
  /** Parameters that may differ. */
  mayChange: readonly PropertyKey[];
  log: Log;
}

/** @throws UserError VL_CHECKPOINT_BAD when one is refused, or when there are some and none is whole */
export async function findResumable(search: Search): Promise<Resumable | undefined> {
  const { dir, wanted, log } = search;
  const problems: string[] = [];
  const local = listCheckpoints(dir).reverse();
  for (const folder of wanted ? [wanted, ...local.filter((path) => path !== wanted)] : local) {
    try {
      const found = await load(folder, search);
      setAside(dir, found.progress.step);
      return found;
    } catch (error) {
      if (!(error instanceof DamagedCheckpoint)) throw error;
      const why = (error.why ?? error.what).replace(/\.$/, "");
      problems.push(`${basename(folder)}: ${why}`);
      log(`checkpoint ${folder} cannot be used (${why}); trying the one before`);
    }
  }
  if (local.length === 0) return undefined;
  throw new UserError("VL_CHECKPOINT_BAD", {
    what: `No checkpoint in ${dir} is whole.`,
    why: problems.join("\n"),
    hint: "move the folder away to begin anew",
  });
}

async function load(folder: string, search: Search): Promise<Resumable> {
  if (!existsSync(folder)) throw new DamagedCheckpoint(`${folder} cannot be used.`, "there is no such folder");
  const manifest = readLocalManifest(folder, { experiment: search.experiment });
  if (!manifest) throw new DamagedCheckpoint(`${folder} cannot be used.`, "it has no manifest.json of ours");
  await verifyFolder(folder, manifest);
  const progress = readProgress(folder);
  refuseOtherParams(folder, progress.params, search);
  try {
    const { tensors } = await readSafetensors(join(folder, TENSORS));
    return { folder, progress, tensors };
  } catch (error) {
    throw new DamagedCheckpoint(`${folder} cannot be used.`, messageOf(error));
  }
}

function readProgress(folder: string): SavedProgress {
  const path = join(folder, STATE);
  if (!existsSync(path)) throw new DamagedCheckpoint(`${folder} cannot be used.`, `it has no ${STATE}`);
  const stored = readStored(path, readFileSync(path));
  if ("damaged" in stored) throw new DamagedCheckpoint(`${folder} cannot be used.`, `${STATE}: ${stored.damaged}`);
  const progress = stored.fields as unknown as SavedProgress;
  if (!Number.isSafeInteger(progress.step) || typeof progress.params !== "object") {
    throw new DamagedCheckpoint(`${folder} cannot be used.`, `${STATE} is not one of the trainer's`);
  }
  return progress;
}

function refuseOtherParams(folder: string, made: Record<string, unknown>, { params, mayChange }: Search): void {
  const wanted = params as Record<string, unknown>;
  const changed = [...new Set([...Object.keys(wanted), ...Object.keys(made)])].filter(
    (name) => !mayChange.includes(name) && JSON.stringify(made[name]) !== JSON.stringify(wanted[name]),
  );
  if (changed.length === 0) return;
  const list = changed.map((name) => `${name} ${JSON.stringify(made[name])}, not ${JSON.stringify(wanted[name])}`);
  throw new UserError("VL_CHECKPOINT_BAD", {
    what: `${folder} was made with other parameters.`,
    why: `it has ${list.join("; ")}.`,
    hint: "give the old values to go on with it, or move the checkpoints away to begin anew",
  });
}

/**
 * Checkpoints ahead of the one taken, damaged or passed over by choice, would be taken for newer ones and crowd out
 * those that follow. They are hidden, not deleted; those hidden before them are.
 */
function setAside(dir: string, step: number): void {
  const ahead = listCheckpoints(dir).filter((folder) => (stepInName(folder) ?? 0) > step);
  if (ahead.length === 0) return;
  const aside = join(dir, ".aside");
  rmSync(aside, { recursive: true, force: true });
  mkdirSync(aside);
  for (const folder of ahead) renameSync(folder, join(aside, basename(folder)));
}
