/**
 * Time that passes by itself: a sleep ends as soon as nothing else is left to run, and the clock then stands at its
 * end. Sleepers wake in the order of their times, so that parallel waits interleave as they would in real life.
 */
import type { Clock } from "../../common/clock.ts";

export interface FakeClock extends Clock {
  /** Milliseconds that have passed since the clock was made. */
  passed(): number;
  /** Something that happens while others wait; it does not keep the clock going by itself. */
  after(ms: number, act: () => void): void;
}

interface Sleeper {
  at: number;
  wake(): void;
  isEvent: boolean;
}

export function fakeClock(startMs = Date.UTC(2026, 0, 1)): FakeClock {
  let now = startMs;
  let sleepers: Sleeper[] = [];
  let isPumping = false;
  const pump = () => {
    if (isPumping || sleepers.every(({ isEvent }) => isEvent)) return;
    isPumping = true;
    // After all promises that are ready: only then is everybody asleep.
    setImmediate(() => {
      isPumping = false;
      const [next, ...rest] = sleepers.sort((a, b) => a.at - b.at);
      if (!next) return;
      sleepers = rest;
      now = Math.max(now, next.at);
      next.wake();
      pump();
    });
  };
  const add = (sleeper: Sleeper) => {
    sleepers.push(sleeper);
    pump();
  };
  return {
    now: () => now,
    passed: () => now - startMs,
    after: (ms, act) => add({ at: now + ms, wake: act, isEvent: true }),
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted) return reject(signal.reason);
        const sleeper: Sleeper = { at: now + ms, wake: resolve, isEvent: false };
        signal?.addEventListener("abort", () => {
          sleepers = sleepers.filter((it) => it !== sleeper);
          reject(signal.reason);
        });
        add(sleeper);
      }),
  };
}
