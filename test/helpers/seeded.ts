/** Random numbers that a seed repeats. */
export interface Seeded {
  /** 0 <= x < 1. */
  number(): number;
  /** A whole number, 0 <= x < below. */
  below(below: number): number;
  chance(probability: number): boolean;
}

/** Source: Tommy Ettinger's mulberry32 (public domain). */
export function seeded(seed: number): Seeded {
  let state = seed >>> 0;
  const number = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    number,
    below: (below) => Math.floor(number() * below),
    chance: (probability) => number() < probability,
  };
}
