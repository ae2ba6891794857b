/** Workspace snapshots: what was changed on a machine, saved in the run's store and brought back on the next one. */
export { type RestoredWorkspace, restoreSnapshot } from "./restore.ts";
export { createSnapshots, type SaveOptions, type SnapshotPlace, type Snapshots } from "./save.ts";
