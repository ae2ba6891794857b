/**
 * When a machine that bills has nothing to do: no person and no program has shown itself for as long as the
 * configuration allows. It is said before, where people look, and any activity calls it off. Pure.
 */

export interface IdleState {
  /** Ms, by the agent's clock. */
  lastActiveAt: number;
  hasWarned: boolean;
}

export interface IdleVerdict extends IdleState {
  idleSeconds: number;
  act: "none" | "warn" | "end";
  /** Until the end, in seconds. */
  leftSeconds: number;
}

const WARN_SECONDS = 300;

/** `isActive`: whether anything was seen since the last look. */
export function decideIdle(state: IdleState, isActive: boolean, now: number, idleMinutes: number): IdleVerdict {
  const { lastActiveAt, idleSeconds } = quietSince(state, isActive, now);
  const limit = idleMinutes * 60;
  const leftSeconds = Math.max(0, Math.ceil(limit - idleSeconds));
  // Of a short limit, half: a warning that comes at once warns of nothing.
  const isNear = leftSeconds <= Math.min(WARN_SECONDS, limit / 2);
  if (isActive) return { lastActiveAt, hasWarned: false, idleSeconds, act: "none", leftSeconds };
  // Never without the warning before it, even if the agent itself was away for long.
  const act = !isNear ? "none" : !state.hasWarned ? "warn" : leftSeconds <= 0 ? "end" : "none";
  return { lastActiveAt, hasWarned: state.hasWarned || act === "warn", idleSeconds, act, leftSeconds };
}

/**
 * The same for a command that runs and shows nothing of itself: it hangs, or it waits for something. That is told once,
 * and never ends anything: nobody but its author knows.
 */
export function decideStalled(state: IdleState, isActive: boolean, now: number, idleMinutes: number): IdleVerdict {
  const { lastActiveAt, idleSeconds } = quietSince(state, isActive, now);
  const leftSeconds = Math.max(0, Math.ceil(idleMinutes * 60 - idleSeconds));
  const isStalled = !isActive && leftSeconds <= 0;
  const act = isStalled && !state.hasWarned ? "warn" : "none";
  return { lastActiveAt, hasWarned: isStalled, idleSeconds, act, leftSeconds };
}

function quietSince({ lastActiveAt }: IdleState, isActive: boolean, now: number) {
  const since = isActive || now < lastActiveAt ? now : lastActiveAt;
  return { lastActiveAt: since, idleSeconds: Math.floor((now - since) / 1000) };
}
