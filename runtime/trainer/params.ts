/** First values of parameters. */
import type { Param, Rng } from "./types.ts";

/** Normally distributed around 0 with standard deviation `deviation`. */
export function normal(rng: Rng, shape: readonly number[], deviation: number): Param {
  return { shape, data: Float32Array.from({ length: sizeOf(shape) }, () => deviation * rng.normal()) };
}

export function filled(shape: readonly number[], value: number): Param {
  return { shape, data: new Float32Array(sizeOf(shape)).fill(value) };
}

/** Number of elements. */
export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, length) => product * length, 1);
}

/** How many numbers a model learns. */
export function countParams(params: Record<string, Param>): number {
  return Object.values(params).reduce((sum, { data }) => sum + data.length, 0);
}
