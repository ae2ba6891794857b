/**
 * A local checkpoint into the store: data, then SHA256SUMS, then the manifest, then the head. It can stop anywhere:
 * before the manifest there is no checkpoint, after it there is one, and doing it all again ends in the same state.
 * A folder that does not match its own manifest is not published: it would become the head, and be of no use.
 */
import { basename } from "node:path";
import { formatCheckpointId, parseCheckpointId } from "../../common/checkpoint-id.ts";
import type { Clock } from "../../common/clock.ts";
import { UserError } from "../../common/errors.ts";
import { headToBuildOn, manifestKey, moveHead } from "../lease/index.ts";
import type { Tenure } from "../lease/types.ts";
import { ConditionFailed, type ObjectStore, type Transfer } from "../store/types.ts";
import { stepInName } from "./folders.ts";
import { keyOf, sumsKey } from "./keys.ts";
import {
  areSameFiles,
  DamagedCheckpoint,
  type Manifest,
  type ManifestFile,
  manifestText,
  parseManifest,
  readLocalManifest,
  sumsText,
} from "./manifest.ts";
import { type StagedFile, stageFolder } from "./stage.ts";
import { sumFile } from "./sums.ts";

export interface Publication {
  store: ObjectStore;
  /** By which the head may be moved; its epoch is part of the checkpoint's name. */
  tenure: Tenure;
  clock: Clock;
  /** The finished local checkpoint. */
  folder: string;
  /** Where its files are held meanwhile; on the same disk, so that nothing is copied. */
  outgoing: string;
  run: { runId: string; experiment: string | null; contentHash: string };
  /** Where the folder has no manifest of ours, which knows better. */
  step?: number | undefined;
  metrics?: Record<string, number> | undefined;
  /** Ids whose stored files did not verify: they are uploaded again where the content is the same. */
  damaged?: ReadonlySet<string>;
  transfer?: Transfer;
}

/** More files than this at a time would hold too much memory; larger ones go in parts, one after the other. */
const SMALL_BYTES = 1 << 20;
const SMALL_AT_A_TIME = 4;

/**
 * Publishes a folder and moves the head to it. What is in the store already is not uploaded again.
 * @throws DamagedCheckpoint for the folder, UserError VL_LEASE_LOST, VL_STORE_*; then the files stay held, and
 * the next call goes on with what has arrived
 */
export async function publishFolder(publication: Publication): Promise<Manifest> {
  const { store, tenure, folder, outgoing, run, damaged = new Set() } = publication;
  const local = readLocalManifest(folder);
  const staged = stageFolder(folder, outgoing);
  const step = local?.step ?? publication.step ?? stepInName(basename(folder));
  if (step === undefined) throw noStep(folder);
  const hashing = describe(staged.files, folder, local);
  hashing.catch(() => {}); // looked at below, maybe after a fault of the store

  const parent = (await headToBuildOn(store, tenure)).checkpoint;
  const isSame = async (found: Manifest | undefined): Promise<boolean> =>
    found !== undefined && areSameFiles(found.files, await hashing);

  const newest = parent !== null && parseCheckpointId(parent)?.step === step ? await find(store, parent) : undefined;
  if (newest && !damaged.has(newest.id) && (await isSame(newest))) {
    staged.release();
    return newest;
  }
  for (let take = 1; ; take += 1) {
    const id = formatCheckpointId({ step, epoch: tenure.epoch, take });
    let published = await find(store, id);
    // The same step with another result: a damaged one was fallen back from, and what followed is not bit-exact.
    if (published && !(await isSame(published))) continue;
    if (!published || damaged.has(id)) {
      published = await upload(publication, id, staged.files, async () => ({
        format: 1,
        runId: run.runId,
        id,
        step,
        epoch: tenure.epoch,
        parent,
        time: local?.time ?? new Date(publication.clock.now()).toISOString(),
        files: await hashing,
        metrics: local?.metrics ?? publication.metrics ?? {},
        experiment: local?.experiment ?? run.experiment,
        contentHash: run.contentHash,
        folder: basename(folder),
      }));
      if (!(await isSame(published))) continue; // another writer of this epoch was faster
    }
    await moveHead(store, tenure, id);
    staged.release();
    return published;
  }
}

async function find(store: ObjectStore, id: string): Promise<Manifest | undefined> {
  const found = await store.get(manifestKey(id));
  return found && parseManifest(found.body.toString(), `${store.name}/${manifestKey(id)}`);
}

/** Data first, manifest last. Gives the manifest that is there in the end: ours, or that of a faster writer. */
async function upload(
  { store, tenure, transfer = {} }: Publication,
  id: string,
  files: readonly StagedFile[],
  makeManifest: () => Promise<Manifest>,
): Promise<Manifest> {
  const send = ({ path, file }: StagedFile) => store.upload(keyOf(id, path), file, transfer);
  const small = files.filter(({ bytes }) => bytes <= SMALL_BYTES);
  for (const large of files.filter(({ bytes }) => bytes > SMALL_BYTES)) await send(large);
  for (let i = 0; i < small.length; i += SMALL_AT_A_TIME) {
    await Promise.all(small.slice(i, i + SMALL_AT_A_TIME).map(send));
  }
  const manifest = await makeManifest();
  transfer.signal?.throwIfAborted();
  await tenure.assertHeld();
  await store.put(sumsKey(id), sumsText(manifest.files));
  const condition = (await store.hasConditions()) ? ({ ifNoneMatch: "*" } as const) : undefined;
  try {
    await store.put(manifestKey(id), manifestText(manifest), condition);
  } catch (error) {
    const faster = error instanceof ConditionFailed ? await find(store, id) : undefined;
    if (!faster) throw error;
    return faster;
  }
  return manifest;
}

/** Length and hash of each held file, compared with what the folder's own manifest says. */
async function describe(files: readonly StagedFile[], folder: string, local: Manifest | undefined) {
  const found: ManifestFile[] = [];
  for (const { path, bytes, file } of files) found.push({ path, bytes, ...(await sumFile(file)) });
  if (local && !areSameFiles(local.files, found)) {
    throw new DamagedCheckpoint(
      `The checkpoint ${folder} is damaged and was not uploaded.`,
      "its files are not those that its manifest lists",
    );
  }
  return found;
}

function noStep(folder: string): UserError {
  return new UserError("VL_CHECKPOINT_BAD", {
    what: `The checkpoint ${folder} was not uploaded: its step is not known.`,
    why: "its name has no number in it.",
    hint: "call it step-200, for instance",
  });
}
