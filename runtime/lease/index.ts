/** One writer per run: the lease, the head of the lineage that only its holder moves, and the run's record. */
export { acquireLease, describeWaiting, type LeaseOptions, type Waiting } from "./acquire.ts";
export { type FoundHead, HEAD_KEY, moveHead, readHead } from "./head.ts";
export type { Held } from "./hold.ts";
export { holderOf } from "./holder.ts";
export { type FoundLease, LEASE_KEY, LEASE_TTL_SECONDS, readLease } from "./lease-record.ts";
export {
  CHECKPOINTS_PREFIX,
  headToBuildOn,
  lineage,
  listIds,
  manifestKey,
  readLineage,
  type StoredId,
} from "./lineage.ts";
export { describeHolder, LeaseLost } from "./lost.ts";
export { changeRunRecord, type RunChange, readRunRecord } from "./run-record-store.ts";
