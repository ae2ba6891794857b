/**
 * Looks for activity every so often. While the machine has nothing to do: warns, and says when it is over. While a
 * command runs: says when that shows no sign of life.
 */
import type { Clock } from "../../common/clock.ts";
import type { Activity } from "./activity.ts";
import { decideIdle, decideStalled, type IdleState } from "./idle.ts";

/** `free`: nothing of ours is to be done here; `working`: a command runs; `busy`: the agent itself is at work. */
export type Occupation = "free" | "working" | "busy";

export interface IdleWatchOptions {
  activity: Activity;
  clock: Clock;
  idleMinutes: number;
  sampleMs: number;
  /** Tells people that the machine is about to end; the watch goes on when it has been done. */
  warn(leftSeconds: number): Promise<void>;
  /** Tells people that the command has shown no sign of life. */
  tellStalled(minutes: number): Promise<void>;
  /** Nobody came. Called again at each look while that is so. */
  onIdle(): void;
}

export interface IdleWatch {
  /** At each beat. */
  look(occupation: Occupation): void;
  /** Null while it is at work. */
  idleSeconds(): number | null;
  gpuUtil(): number | null;
  /** For people, while the end is near, or while a command seems to hang. */
  warning(): string | null;
}

export function watchIdle(options: IdleWatchOptions): IdleWatch {
  const { activity, clock, idleMinutes } = options;
  const fresh = (): IdleState => ({ lastActiveAt: clock.now(), hasWarned: false });
  let state = fresh();
  let last: Occupation = "busy";
  let isLooking = false;
  let nextAt = 0;
  let quiet: number | null = null;
  let gpu: number | null = null;

  return {
    look(occupation) {
      if (isLooking || clock.now() < nextAt) return;
      isLooking = true;
      void look(occupation).finally(() => {
        isLooking = false;
        nextAt = clock.now() + options.sampleMs;
      });
    },
    idleSeconds: () => (last === "free" ? quiet : null),
    gpuUtil: () => gpu,
    warning() {
      if (!state.hasWarned || quiet === null) return null;
      if (last === "working") return `the command has shown no sign of life for ${Math.floor(quiet / 60)} minutes`;
      return `idle for ${quiet} s; this machine stops itself after ${idleMinutes} minutes without activity`;
    },
  };

  async function look(occupation: Occupation): Promise<void> {
    const { seen, gpuUtil } = await activity.sample();
    gpu = gpuUtil;
    if (occupation !== last) state = fresh();
    last = occupation;
    quiet = null;
    if (occupation === "busy") return;
    const decide = occupation === "free" ? decideIdle : decideStalled;
    const verdict = decide(state, seen.length > 0, clock.now(), idleMinutes);
    state = { lastActiveAt: verdict.lastActiveAt, hasWarned: verdict.hasWarned };
    quiet = verdict.idleSeconds;
    if (verdict.act === "end") options.onIdle();
    else if (verdict.act === "warn" && occupation === "free") await options.warn(verdict.leftSeconds);
    else if (verdict.act === "warn") await options.tellStalled(Math.round(idleMinutes));
  }
}
