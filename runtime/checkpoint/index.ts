/** Checkpoints: on the disk, in the store, and the way between them. */
export {
  listCheckpoints,
  newestCheckpoint,
  pruneCheckpoints,
  publishCheckpoint,
  recoverReplaced,
  stepInName,
  writeCheckpoint,
} from "./folders.ts";
export {
  CheckpointManager,
  type CheckpointManagerOptions,
  type ListedCheckpoint,
} from "./manager.ts";
export { DamagedCheckpoint, type Expected, type Manifest, readLocalManifest, verifyFolder } from "./manifest.ts";
export { createPruner, listUnfinished, removeStored, type StorePruner } from "./prune-store.ts";
export { type Publication, publishFolder } from "./publish.ts";
export { type Restoration, type Restored, restoreById, restoreNewest } from "./restore.ts";
export { KEEP_ALL, type Retention } from "./retention.ts";
export {
  type Dtype,
  readSafetensors,
  type Tensor,
  type TensorData,
  type Tensors,
  writeSafetensors,
} from "./safetensors.ts";
export { releaseOthers } from "./stage.ts";
export { type LoadedState, type SavedState, STATE, TENSORS } from "./state-folder.ts";
export { listStored, type StoredCheckpoint } from "./stored-list.ts";
