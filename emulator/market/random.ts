/**
 * Randomness without state: a number is a function of the seed and of what it is for.
 * So any moment of the market's history can be computed alone, in any order, and is the same every time.
 */

/** A number in [0, 1) that depends on all of `parts` and on nothing else. */
export function hash(...parts: (number | string)[]): number {
  let h = 0x9e3779b9;
  for (const part of parts) {
    if (typeof part === "number") h = mix(h ^ mix(part | 0) ^ mix(Math.floor(part / 2 ** 32) + 0x85ebca6b));
    else for (let i = 0; i < part.length; i += 1) h = mix(h ^ (part.charCodeAt(i) + 0x27d4eb2f));
  }
  return (h >>> 0) / 2 ** 32;
}

/** Smooth noise in [-1, 1]: random values at multiples of `period`, eased between them. */
export function noise(seed: number, name: string, id: number, t: number, period: number): number {
  const step = Math.floor(t / period);
  const part = t / period - step;
  const from = hash(seed, name, id, step);
  const to = hash(seed, name, id, step + 1);
  return 2 * (from + (to - from) * part * part * (3 - 2 * part)) - 1;
}

export function pick<T>(list: readonly T[], random: number): T {
  return list[Math.min(list.length - 1, Math.floor(random * list.length))] as T;
}

export function between(low: number, high: number, random: number): number {
  return low + (high - low) * random;
}

/** Rounds to `digits` decimals; prices go out with at most 5. */
export function round(value: number, digits: number): number {
  const factor = 10 ** digits;
  return Math.round(value * factor) / factor;
}

function mix(value: number): number {
  let h = value | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}
