/** Workspace snapshots: what was changed on a machine, saved in the run's store and brought back on the next one. */
export { type RestoredWorkspace, type RestoreOptions, restoreSnapshot } from "./restore.ts";
export { createSnapshots, type SaveOptions, type SnapshotPlace, type Snapshots } from "./save.ts";
