/** Learning rates over the steps of a run. Pure functions of the step: a resumed run has the same. */
import type { Schedule } from "./types.ts";

export interface WarmupCosine {
  /** Highest learning rate. */
  peak: number;
  /** Steps in which it rises from 0. */
  warmupSteps?: number;
  /** Step at which it has fallen to `floor`; it stays there. */
  totalSteps: number;
  /** Default: a tenth of the peak. */
  floor?: number;
}

/** Rises linearly, then falls as half a cosine. Source: Loshchilov and Hutter, "SGDR", 2017; nanoGPT's form of it. */
export function warmupCosine({ peak, warmupSteps = 0, totalSteps, floor = peak / 10 }: WarmupCosine): Schedule {
  return (step) => {
    if (step < warmupSteps) return (peak * (step + 1)) / (warmupSteps + 1);
    const done = Math.min(1, (step - warmupSteps) / Math.max(1, totalSteps - warmupSteps));
    return floor + ((peak - floor) * (1 + Math.cos(Math.PI * done))) / 2;
  };
}

export const constant =
  (learningRate: number): Schedule =>
  () =>
    learningRate;
