/** Looks for activity every so often while the machine has nothing to do, warns, and says when it is over. */
import type { Clock } from "../../common/clock.ts";
import type { Activity } from "./activity.ts";
import { decideIdle, type IdleState } from "./idle.ts";

export interface IdleWatchOptions {
  activity: Activity;
  clock: Clock;
  idleMinutes: number;
  sampleMs: number;
  /** Tells people; the watch goes on when it has been done. */
  warn(leftSeconds: number): Promise<void>;
  /** Nobody came. */
  onIdle(): void;
}

export interface IdleWatch {
  /** At each beat; `mayIdle`: the state is one in which a machine can be idle. */
  look(mayIdle: boolean): void;
  /** Null while it is at work. */
  idleSeconds(): number | null;
  gpuUtil(): number | null;
  /** For people, while the end is near. */
  warning(): string | null;
}

export function watchIdle(options: IdleWatchOptions): IdleWatch {
  const { activity, clock, idleMinutes } = options;
  const fresh = (): IdleState => ({ lastActiveAt: clock.now(), hasWarned: false });
  let state = fresh();
  let isIdling = false;
  let isBusy = false;
  let isOver = false;
  let nextAt = 0;
  let idle: number | null = null;
  let gpu: number | null = null;

  return {
    look(mayIdle) {
      if (isBusy || isOver || clock.now() < nextAt) return;
      isBusy = true;
      void sample(mayIdle).finally(() => {
        isBusy = false;
        nextAt = clock.now() + options.sampleMs;
      });
    },
    idleSeconds: () => idle,
    gpuUtil: () => gpu,
    warning: () =>
      state.hasWarned && idle !== null
        ? `idle for ${idle} s; this machine stops itself after ${idleMinutes} minutes without activity`
        : null,
  };

  async function sample(mayIdle: boolean): Promise<void> {
    const { seen, gpuUtil } = await activity.sample();
    gpu = gpuUtil;
    if (!mayIdle) {
      isIdling = false;
      idle = null;
      return;
    }
    if (!isIdling) state = fresh();
    isIdling = true;
    const verdict = decideIdle(state, seen.length > 0, clock.now(), idleMinutes);
    state = { lastActiveAt: verdict.lastActiveAt, hasWarned: verdict.hasWarned };
    idle = verdict.idleSeconds;
    if (verdict.act === "warn") {
      await options.warn(verdict.leftSeconds);
      await activity.sample(); // the warning itself moves the terminals
    }
    if (verdict.act === "end") {
      isOver = true;
      options.onIdle();
    }
  }
}
