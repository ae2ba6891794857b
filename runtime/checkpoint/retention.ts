/**
 * Which checkpoints may go. Pure. The head, and the newest one that is not known to be damaged, always stay: whatever
 * is asked for, a run can be resumed after it.
 */

/** What the store keeps. Without `keepRemote`, everything. */
export interface Retention {
  /** The newest so many of the lineage; at least 2, so that a damaged head has one to fall back on. */
  keepRemote: number | null;
  /** Besides, those whose step is a multiple of it. */
  keepEvery: number | null;
  /** Besides, so many with the lowest loss. */
  keepBest: number | null;
}

export const KEEP_ALL: Retention = { keepRemote: null, keepEvery: null, keepBest: null };

export interface Kept {
  id: string;
  step: number;
  metrics: Record<string, number>;
}

/** Metrics that say how good a checkpoint is, the first one that it has; lower is better. */
const LOSSES = ["eval_loss", "val_loss", "evalLoss", "valLoss", "loss"];

/**
 * Ids of `lineage` (newest first, the head at its front) that may be removed. `damaged`: ids that did not verify;
 * they protect nobody and are not counted.
 */
export function surplusOf(
  lineage: readonly Kept[],
  rules: Retention,
  damaged: ReadonlySet<string> = new Set(),
): string[] {
  if (rules.keepRemote === null) return [];
  const whole = lineage.filter(({ id }) => !damaged.has(id));
  const kept = new Set<string>(lineage.slice(0, 1).map(({ id }) => id));
  for (const { id } of whole.slice(0, Math.max(2, rules.keepRemote))) kept.add(id);
  const { keepEvery } = rules;
  if (keepEvery) for (const { id, step } of whole) if (step % keepEvery === 0) kept.add(id);
  for (const { id } of best(whole, rules.keepBest ?? 0)) kept.add(id);
  return lineage.filter(({ id }) => !kept.has(id)).map(({ id }) => id);
}

function best(checkpoints: readonly Kept[], count: number): Kept[] {
  const rated = checkpoints.flatMap((checkpoint) => {
    const loss = lossOf(checkpoint.metrics);
    return loss === undefined ? [] : [{ checkpoint, loss }];
  });
  rated.sort((a, b) => a.loss - b.loss);
  return rated.slice(0, count).map(({ checkpoint }) => checkpoint);
}

function lossOf(metrics: Record<string, number>): number | undefined {
  return LOSSES.map((name) => metrics[name]).find((value) => value !== undefined && Number.isFinite(value));
}
