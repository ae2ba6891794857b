/** What `CheckpointManager` writes into a folder and reads from it: tensors, state, sums, and the manifest last. */
import { open, readFile } from "node:fs/promises";
import { join } from "node:path";
import {
  DamagedCheckpoint,
  type Expected,
  listFiles,
  MANIFEST,
  type Manifest,
  type ManifestFile,
  manifestText,
  readLocalManifest,
  SUMS,
  sumsText,
  verifyFolder,
} from "./manifest.ts";
import { readSafetensors, type Tensors, writeSafetensors } from "./safetensors.ts";
import { sumFile } from "./sums.ts";

export const TENSORS = "tensors.safetensors";
export const STATE = "state.json";

export interface SavedState {
  step: number;
  tensors: Tensors;
  /** Anything that JSON keeps exactly. */
  state?: unknown;
  metrics?: Record<string, number>;
}

export interface LoadedState extends Required<SavedState> {
  folder: string;
  manifest: Manifest;
}

/**
 * Fills an empty folder and syncs what is in it. The tensors' data must not change meanwhile; nothing is copied.
 * @throws TypeError for a state that JSON would change
 */
export async function writeStateFolder(
  folder: string,
  { step, tensors, state = {}, metrics = {} }: SavedState,
  facts: Pick<Manifest, "runId" | "id" | "time" | "experiment">,
): Promise<void> {
  const stateText = exactJson(state);
  await writeSafetensors(join(folder, TENSORS), tensors, { format: "pt" });
  await writeSynced(join(folder, STATE), stateText);
  const files: ManifestFile[] = [];
  for (const file of listFiles(folder)) files.push({ ...file, ...(await sumFile(join(folder, file.path))) });
  const manifest: Manifest = {
    format: 1,
    ...facts,
    step,
    epoch: 0,
    parent: null,
    files,
    metrics: Object.fromEntries(Object.entries(metrics).filter(([, value]) => Number.isFinite(value))),
    contentHash: "",
  };
  await writeSynced(join(folder, SUMS), sumsText(files));
  await writeSynced(join(folder, MANIFEST), manifestText(manifest));
}

/** @throws DamagedCheckpoint; UserError VL_CHECKPOINT_BAD for another experiment or a newer format */
export async function readStateFolder(folder: string, expected: Expected): Promise<LoadedState> {
  const manifest = readLocalManifest(folder, expected);
  if (!manifest) throw new DamagedCheckpoint(`${folder} is not whole.`, "it has no manifest.json of ours");
  await verifyFolder(folder, manifest);
  const missing = [TENSORS, STATE].find((name) => !manifest.files.some(({ path }) => path === name));
  if (missing) throw new DamagedCheckpoint(`${folder} was not made by a CheckpointManager.`, `it has no ${missing}`);
  const { tensors } = await readSafetensors(join(folder, TENSORS));
  const state = JSON.parse(await readFile(join(folder, STATE), "utf8"));
  return { step: manifest.step, tensors, state, metrics: manifest.metrics, folder, manifest };
}

/** JSON that comes back as it was: NaN would silently become null, and a resumed run would go another way. */
function exactJson(state: unknown): string {
  return JSON.stringify(state, (key, value) => {
    if (typeof value === "number" && !Number.isFinite(value)) {
      throw new TypeError(`state.${key} is ${value}, which JSON cannot keep`);
    }
    return value;
  });
}

async function writeSynced(path: string, text: string): Promise<void> {
  const file = await open(path, "wx");
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}
