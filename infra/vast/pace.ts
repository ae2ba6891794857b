/**
 * The market's rate limit is a minimum interval per endpoint and account (Vast docs, rate-limits-and-errors).
 * A pace keeps calls of one endpoint that far apart, in order; it starts from what is documented (or from zero
 * on an emulated market) and learns from each 429 that names a longer interval.
 */
import type { Clock } from "../../common/clock.ts";

/** Endpoints with a documented interval, in seconds. */
export const DOCUMENTED_INTERVALS_S: Record<string, number> = {
  create: 4.5,
  bid: 5.5,
  destroy: 3,
  list: 1,
  manage: 1,
  keys: 1,
  charges: 1,
};

/** Longer than every documented interval. */
const LONGEST_INTERVAL_S = 10;

export interface Pace {
  /** Resolves when a call of this endpoint may start. Calls of one endpoint start in the order of asking. */
  take(endpoint: string, signal?: AbortSignal): Promise<void>;
  /** A 429 said to wait so many seconds: the next call waits for them, and later ones are further apart. */
  learn(endpoint: string, seconds: number): void;
}

export function createPace(clock: Clock, intervals: Record<string, number>): Pace {
  const seconds: Record<string, number> = { ...intervals };
  const nextFreeMs: Record<string, number> = {};
  return {
    async take(endpoint, signal) {
      const now = clock.now();
      const start = Math.max(now, nextFreeMs[endpoint] ?? 0);
      // Reserved before waiting: the next caller queues behind this one.
      nextFreeMs[endpoint] = start + (seconds[endpoint] ?? 0) * 1000;
      if (start > now) await clock.sleep(start - now, signal);
    },
    learn(endpoint, interval) {
      // Answers travel: a little more than asked keeps two calls from arriving too close together.
      const wait = Math.min(interval, 60) + 0.05;
      // A long wait is a penalty for now and no interval: kept for ever, one would make every later list a minute late.
      seconds[endpoint] = Math.max(seconds[endpoint] ?? 0, Math.min(wait, LONGEST_INTERVAL_S));
      nextFreeMs[endpoint] = Math.max(nextFreeMs[endpoint] ?? 0, clock.now() + wait * 1000);
    },
  };
}
