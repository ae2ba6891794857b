/**
 * AdamW as PyTorch has it (`torch.optim.AdamW`), in place on typed arrays, with clipping of the gradient's norm. SGD
 * beside it, for the smallest experiments.
 * Source: Loshchilov and Hutter, "Decoupled weight decay regularization", 2019.
 */
import type { Tensor, Tensors } from "../checkpoint/index.ts";
import type { Grads, Optimizer, Param } from "./types.ts";

export interface AdamWOptions {
  beta1?: number;
  beta2?: number;
  epsilon?: number;
  weightDecay?: number;
  /** Which parameters decay; by default matrices, not gains and biases. */
  decays?: (name: string, param: Param) => boolean;
  /** Longest gradient, over all parameters together; a longer one is scaled down. Default: no limit. */
  clipNorm?: number;
}

export function adamW({
  beta1 = 0.9,
  beta2 = 0.999,
  epsilon = 1e-8,
  weightDecay = 0.01,
  decays = (_, { shape }) => shape.length > 1,
  clipNorm = Number.POSITIVE_INFINITY,
}: AdamWOptions = {}): Optimizer {
  return {
    init(params) {
      const state: Tensors = { step: { dtype: "I64", shape: [], data: new BigInt64Array(1) } };
      for (const [name, { shape, data }] of Object.entries(params)) {
        state[`m/${name}`] = { dtype: "F32", shape, data: new Float32Array(data.length) };
        state[`v/${name}`] = { dtype: "F32", shape, data: new Float32Array(data.length) };
      }
      return state;
    },
    update(params, grads, state, learningRate) {
      const step = countStep(state.step as Tensor);
      const stepSize = learningRate / (1 - beta1 ** step);
      const rootCorrection = Math.sqrt(1 - beta2 ** step);
      const scale = Math.min(1, clipNorm / (gradientNorm(grads) + 1e-6));
      for (const [name, param] of Object.entries(params)) {
        const kept = decays(name, param) ? 1 - learningRate * weightDecay : 1;
        const gradient = grads[name] as Float32Array;
        const m = state[`m/${name}`]?.data as Float32Array; // mean of gradients
        const v = state[`v/${name}`]?.data as Float32Array; // mean of their squares
        const { data } = param;
        for (let i = 0; i < data.length; i++) {
          const g = (gradient[i] as number) * scale;
          const mean = (m[i] as number) + (1 - beta1) * (g - (m[i] as number));
          const square = beta2 * (v[i] as number) + (1 - beta2) * g * g;
          m[i] = mean;
          v[i] = square;
          data[i] = kept * (data[i] as number) - (stepSize * mean) / (Math.sqrt(square) / rootCorrection + epsilon);
        }
      }
    },
  };
}

/** Plain gradient descent: remembers nothing. */
export function sgd(): Optimizer {
  return {
    init: () => ({}),
    update(params, grads, _, learningRate) {
      for (const [name, { data }] of Object.entries(params)) {
        const gradient = grads[name] as Float32Array;
        for (let i = 0; i < data.length; i++) (data[i] as number) -= learningRate * (gradient[i] as number);
      }
    },
  };
}

/** Length of all gradients as one vector. */
export function gradientNorm(grads: Grads): number {
  let sum = 0;
  for (const gradient of Object.values(grads)) {
    for (let i = 0; i < gradient.length; i++) sum += (gradient[i] as number) ** 2;
  }
  return Math.sqrt(sum);
}

/** One more step; gives its number, the first being 1. */
function countStep({ data }: Tensor): number {
  const counter = data as BigInt64Array;
  counter[0] = (counter[0] as bigint) + 1n;
  return Number(counter[0]);
}
