import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { adamW, gradientNorm, sgd } from "../../../../runtime/trainer/adamw.ts";
import type { Grads, Params } from "../../../../runtime/trainer/types.ts";

type Values = { matrix: number[]; bias: number[] };
interface Reference {
  options: object;
  learningRate: number;
  start: Values;
  shapes: Values;
  steps: { grads: Values; params: Values }[];
  m: Values;
  v: Values;
}
const reference: Reference = JSON.parse(
  readFileSync(new URL("../../../fixtures/adamw/reference.json", import.meta.url), "utf8"),
);
const paramsOf = ({ matrix, bias }: Values): Params => ({
  matrix: { shape: reference.shapes.matrix, data: Float32Array.from(matrix) },
  bias: { shape: reference.shapes.bias, data: Float32Array.from(bias) },
});
const gradsOf = (values: Values): Grads => ({
  matrix: Float32Array.from(values.matrix),
  bias: Float32Array.from(values.bias),
});
const furthest = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Math.max(...Array.from(a, (value, index) => Math.abs(value - (b[index] as number))));

test("AdamW follows PyTorch's formula step by step, with decay of matrices only and clipping", () => {
  const optimizer = adamW(reference.options);
  const params = paramsOf(reference.start);
  const state = optimizer.init(params);
  for (const { grads, params: wanted } of reference.steps) {
    optimizer.update(params, gradsOf(grads), state, reference.learningRate);
    expect(furthest(params.matrix?.data ?? [], wanted.matrix)).toBeLessThan(2e-6);
    expect(furthest(params.bias?.data ?? [], wanted.bias)).toBeLessThan(2e-6);
  }
  expect(furthest(state["m/matrix"]?.data as Float32Array, reference.m.matrix)).toBeLessThan(1e-7);
  expect(furthest(state["v/bias"]?.data as Float32Array, reference.v.bias)).toBeLessThan(1e-7);
  expect(state.step?.data).toEqual(BigInt64Array.of(12n));
});

test("AdamW on other settings than the reference's is another AdamW", () => {
  for (const change of [
    { beta1: 0.8 },
    { beta2: 0.9 },
    { weightDecay: 0 },
    { clipNorm: 1e9 },
    { decays: () => true },
  ]) {
    const optimizer = adamW({ ...reference.options, ...change });
    const params = paramsOf(reference.start);
    const state = optimizer.init(params);
    for (const { grads } of reference.steps) optimizer.update(params, gradsOf(grads), state, reference.learningRate);
    const last = reference.steps.at(-1)?.params as Values;
    const distance = furthest(params.matrix?.data ?? [], last.matrix) + furthest(params.bias?.data ?? [], last.bias);
    expect(distance, JSON.stringify(change)).toBeGreaterThan(1e-5);
  }
});

test("a gradient that is not there yet moves nothing but by decay", () => {
  const optimizer = adamW({ weightDecay: 0.5 });
  const params: Params = { w: { shape: [1, 2], data: Float32Array.of(1, -2) } };
  optimizer.update(params, { w: new Float32Array(2) }, optimizer.init(params), 0.1);
  expect(Array.from(params.w?.data ?? [])).toEqual([Math.fround(0.95), Math.fround(-1.9)]);
});

test("plain gradient descent goes down the gradient and remembers nothing", () => {
  const params: Params = { w: { shape: [2], data: Float32Array.of(1, 2) } };
  expect(sgd().init(params)).toEqual({});
  sgd().update(params, { w: Float32Array.of(4, -4) }, {}, 0.25);
  expect(Array.from(params.w?.data ?? [])).toEqual([0, 3]);
});

test("the gradient's norm is over all parameters together", () => {
  expect(gradientNorm({ a: Float32Array.of(3), b: Float32Array.of(0, 4) })).toBe(5);
});
