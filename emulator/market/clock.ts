/** Market time: real time, run faster or put forward at will. Never goes back. */
import type { Clock } from "../../common/clock.ts";

export interface MarketClock {
  /** Unix seconds (float). */
  now(): number;
  readonly speed: number;
  setSpeed(speed: number): void;
  advance(seconds: number): void;
  /** Real milliseconds until market time `t`; 0 when it has passed. */
  realMsUntil(t: number): number;
}

export function createMarketClock(real: Clock, start: { time: number; speed: number }): MarketClock {
  let anchorReal = real.now();
  let anchorMarket = start.time;
  let speed = start.speed;

  function now(): number {
    return anchorMarket + (Math.max(0, real.now() - anchorReal) / 1000) * speed;
  }
  function anchor(time: number): void {
    anchorMarket = time;
    anchorReal = real.now();
  }

  return {
    now,
    get speed() {
      return speed;
    },
    setSpeed(value) {
      anchor(now());
      speed = value;
    },
    advance: (seconds) => anchor(now() + Math.max(0, seconds)),
    realMsUntil: (t) => (speed > 0 ? Math.max(0, ((t - now()) / speed) * 1000) : Number.POSITIVE_INFINITY),
  };
}
