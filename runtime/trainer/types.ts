/**
 * What a training is made of: model, optimizer, schedule and data, each behind a small interface. The trainer knows
 * no more of them than this, so whatever computes the gradients can be replaced.
 */
import type { Tensors } from "../checkpoint/index.ts";

/** Row-major; [] is a scalar. */
export interface Param {
  shape: readonly number[];
  data: Float32Array;
}

/** By name, such as `blocks.0.qkv`. */
export type Params = Record<string, Param>;

/** One for each parameter, of its length. */
export type Grads = Record<string, Float32Array>;

/** A stream of random numbers whose whole state is a seed and a count. */
export interface Rng {
  /** An integer in [0, 2^32). */
  uint32(): number;
  /** A number in [0, 1). */
  uniform(): number;
  /** Normally distributed, mean 0, variance 1. */
  normal(): number;
  /** An integer in [0, limit). */
  below(limit: number): number;
}

type Maybe<T> = T | Promise<T>;

/** `B` is one batch. Same parameters, batch and random numbers must give the same bits, or a resumed run differs. */
export interface Model<B> {
  init(rng: Rng): Params;
  /** Mean loss of the batch and its gradient. `rng` is for dropout and the like. */
  lossAndGrad(params: Params, batch: B, rng: Rng): Maybe<{ loss: number; grads: Grads }>;
  /** Mean loss of a batch that is not trained on. */
  evaluate?(params: Params, batch: B): Maybe<number>;
}

export interface Optimizer {
  /** All that it remembers from step to step, by name; a checkpoint keeps it. */
  init(params: Params): Tensors;
  /** Changes `params` and `state` in place. */
  update(params: Params, grads: Grads, state: Tensors, learningRate: number): Maybe<void>;
}

/** Learning rate of a step; the first step is 0. */
export type Schedule = (step: number) => number;

export interface Data<B> {
  /** Examples in an epoch. */
  count: number;
  /** A batch of these examples: numbers in [0, count). `rng` is for augmentation. */
  batch(examples: Uint32Array, rng: Rng): Maybe<B>;
}
