/**
 * Names of checkpoints. In the store: `step-00000200.e00003`, the step and the lease's epoch, so that writers of
 * different epochs never meet in one key; a second one of the same step and epoch with other content ends in `.2`.
 * On a disk: `step-00000200`.
 */

export interface CheckpointId {
  step: number;
  epoch: number;
  /** 1, or higher when a step was made again with another result, after a damaged checkpoint for instance. */
  take: number;
}

export function formatCheckpointId({ step, epoch, take = 1 }: Omit<CheckpointId, "take"> & { take?: number }): string {
  const suffix = take > 1 ? `.${take}` : "";
  return `${checkpointFolder(step)}.${epochMark(epoch)}${suffix}`;
}

/** `e00003`: the part of a name that says in which epoch it was written. */
export function epochMark(epoch: number): string {
  return `e${String(epoch).padStart(5, "0")}`;
}

/** Undefined for what is no name of a checkpoint in the store. */
export function parseCheckpointId(id: string): CheckpointId | undefined {
  const match = /^step-(\d{8,15})\.e(\d{5,15})(?:\.([1-9]\d{0,8}))?$/.exec(id);
  return match ? { step: Number(match[1]), epoch: Number(match[2]), take: Number(match[3] ?? 1) } : undefined;
}

/** Name of the local folder of a step. */
export function checkpointFolder(step: number): string {
  return `step-${String(step).padStart(8, "0")}`;
}

/** Negative when `a` is older: by epoch, then step, then take. What is no name comes first. */
export function compareCheckpointIds(a: string, b: string): number {
  const [x, y] = [parseCheckpointId(a), parseCheckpointId(b)];
  if (!x || !y) return Number(Boolean(x)) - Number(Boolean(y));
  return x.epoch - y.epoch || x.step - y.step || x.take - y.take;
}
