/**
 * How often to save. Seldom, and an interruption costs much; often, and the saves do. With save cost C and mean time
 * between interruptions M the best interval is about sqrt(2 C M). Pure.
 * Source: Young, "A first order approximation to the optimum checkpoint interval", 1974; Daly, 2006.
 */
import { UserError } from "../../common/errors.ts";

/** What is assumed of a machine that nothing is known of: interruptible ones last hours. */
const PRIOR_SECONDS = 6 * 3600;
const SHORTEST_SECONDS = 10;
const LONGEST_SECONDS = 600;
/** Of the run time, for stalls. */
const MOST_STALLED = 0.005;

export interface Observed {
  /** Seconds of training that a save costs: the copy of the state, and slower steps while it is written. */
  stallSeconds: number;
  /** Seconds from its begin until the checkpoint is on the disk. */
  writeSeconds: number;
  /** Interruptions so far, over all machines of the run. */
  interruptions: number;
  /** Seconds of training so far, likewise. */
  activeSeconds: number;
}

/** Seconds from one save to the next. */
export function autoInterval({ stallSeconds, writeSeconds, interruptions, activeSeconds }: Observed): number {
  const best = Math.sqrt(2 * stallSeconds * meanSecondsBetween(interruptions, activeSeconds));
  // The longest interval yields: saves that overlap, or that stall more than they may, help nobody.
  const shortest = Math.max(SHORTEST_SECONDS, stallSeconds / MOST_STALLED, 2 * writeSeconds);
  return Math.max(shortest, Math.min(LONGEST_SECONDS, best));
}

/** Mean of what was seen and of one assumed interruption. */
export function meanSecondsBetween(interruptions: number, activeSeconds: number): number {
  return (PRIOR_SECONDS + activeSeconds) / (1 + interruptions);
}

export interface Interval {
  everySteps: number;
  everySeconds: number | "auto";
  /** Local checkpoints that are kept. */
  keepLast: number;
}

/** What code says holds, then the variables that the stack's configuration sets, then these. */
export function intervalOf(given: Partial<Interval> = {}, env: NodeJS.ProcessEnv = process.env): Interval {
  const { VASTLANE_CHECKPOINT_EVERY_SECONDS: seconds } = env;
  return {
    everySteps: given.everySteps ?? (numberIn(env, "VASTLANE_CHECKPOINT_EVERY_STEPS") || Number.POSITIVE_INFINITY),
    everySeconds:
      given.everySeconds ??
      (seconds === "auto" ? "auto" : numberIn(env, "VASTLANE_CHECKPOINT_EVERY_SECONDS") || "auto"),
    keepLast: given.keepLast ?? (numberIn(env, "VASTLANE_KEEP_LAST") || 3),
  };
}

/** 0 when it is not set. */
function numberIn(env: NodeJS.ProcessEnv, name: string): number {
  const text = env[name]?.trim() || "0";
  const value = Number(text);
  if (Number.isFinite(value) && value >= 0) return value;
  throw new UserError("VL_BAD_CONFIG", {
    what: `${name} is "${text}".`,
    why: "it must be a positive number.",
    hint: `set it to a number, or remove it`,
  });
}

/** Whether a save is due: a multiple of `everySteps` was reached since the last one, or its time has come. */
export function isDue(
  { everySteps }: Pick<Interval, "everySteps">,
  seconds: number,
  now: { step: number; seconds: number },
  last: { step: number; seconds: number },
): boolean {
  if (now.step === last.step) return false;
  return (
    Math.floor(now.step / everySteps) > Math.floor(last.step / everySteps) || now.seconds - last.seconds >= seconds
  );
}
