/** The one place where faults are tried again. What is worth a second try is the caller's table. */
import type { Clock } from "./clock.ts";

export interface RetryPolicy {
  /** Stop trying when the next wait would pass this many milliseconds since the first try. */
  totalMs: number;
  firstMs: number;
  factor: number;
  maxMs: number;
}

/**
 * Calls `act` until it succeeds, `waitFor` says no, or the policy's time is over; then the last error is thrown.
 * `waitFor` gets the error and the planned wait and returns the wait to use (ms), or undefined for "do not retry".
 * Waits are jittered by up to 25 % so that parallel callers spread out.
 */
export async function retry<T>(
  act: () => Promise<T>,
  waitFor: (error: unknown, plannedMs: number) => number | undefined,
  policy: RetryPolicy,
  context: { clock: Clock; random: () => number; signal?: AbortSignal | undefined },
): Promise<T> {
  const start = context.clock.now();
  let planned = policy.firstMs;
  for (;;) {
    try {
      return await act();
    } catch (error) {
      const wait = waitFor(error, planned * (1 + 0.25 * context.random()));
      if (wait === undefined || context.clock.now() - start + wait > policy.totalMs) throw error;
      await context.clock.sleep(wait, context.signal);
      planned = Math.min(planned * policy.factor, policy.maxMs);
    }
  }
}
