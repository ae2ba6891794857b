/** The documented minimum intervals between two calls of one endpoint by one caller (vast-api.md 1.5). Real time. */
import type { Clock } from "../../common/clock.ts";
import type { Reply, Route } from "./route.ts";

export interface RateLimiter {
  /** The 429 answer when the call comes too early; undefined when it may go on (and is counted). */
  check(route: Route, identity: string): Reply | undefined;
}

export function createRateLimiter(clock: Clock): RateLimiter {
  const last = new Map<string, number>();
  return {
    check(route, identity) {
      if (route.threshold === undefined) return undefined;
      const key = `${route.name} ${identity}`;
      const now = clock.now();
      const before = last.get(key);
      if (before !== undefined && now - before < route.threshold * 1000) return tooFrequent(route.threshold);
      last.set(key, now);
      return undefined;
    },
  };
}

/** The market answers 429 in plain text. */
export function tooFrequent(threshold?: number): Reply {
  const more = threshold === undefined ? "" : `: endpoint threshold=${threshold.toFixed(1)}`;
  return { status: 429, text: `API requests too frequent${more}` };
}
