/**
 * A model written as a pure function with jax-js. It is traced and compiled at its first use; after that, a step is
 * one call of the compiled function. The package is handed in, so that experiment and trainer have the same one.
 *
 *     import * as jax from "@jax-js/jax";
 *     const model = jaxModel(jax, { init: (rng) => ({ w: normal(rng, [2, 3], 0.1) }), loss: (p, batch) => ... });
 */
import type { Tensor, Tensors } from "../checkpoint/index.ts";
import type { Grads, Model, Params, Rng } from "./types.ts";

export type Jax = typeof import("@jax-js/jax");
export type JaxArray = import("@jax-js/jax").Array;
/** By name. Each is used up by what it is passed to; `array.ref` keeps it for another use. */
export type JaxArrays = Record<string, JaxArray>;

export interface JaxModelOptions {
  init(rng: Rng): Params;
  /** A scalar, made of each parameter and each tensor of the batch. */
  loss(params: JaxArrays, batch: JaxArrays): JaxArray;
}

/** Its batches are tensors by name, such as `{ tokens: { dtype: "I32", shape: [8, 32], data } }`. */
export function jaxModel(jax: Jax, { init, loss }: JaxModelOptions): Model<Tensors> {
  const compiled = jax.jit(jax.valueAndGrad(loss));
  const lossOf = jaxFunction(jax, loss);
  return {
    init,
    async lossAndGrad(params, batch) {
      const [value, gradients] = compiled(toJax(jax, params), toJax(jax, batch)) as [JaxArray, JaxArrays];
      const grads: Grads = {};
      for (const [name, gradient] of Object.entries(gradients)) grads[name] = (await gradient.data()) as Float32Array;
      const [result = Number.NaN] = await value.data();
      return { loss: result, grads };
    },
    async evaluate(params, batch) {
      const [result = Number.NaN] = await lossOf(params, batch);
      return result;
    },
  };
}

/** Any other function of parameters and inputs, compiled; for logits, say. */
export function jaxFunction(
  jax: Jax,
  f: (params: JaxArrays, inputs: JaxArrays) => JaxArray,
): (params: Params, inputs: Tensors) => Promise<Float32Array> {
  const compiled = jax.jit(f);
  return async (params, inputs) => {
    const result = compiled(toJax(jax, params), toJax(jax, inputs)) as JaxArray;
    return (await result.data()) as Float32Array;
  };
}

function toJax(jax: Jax, tensors: Record<string, Pick<Tensor, "shape" | "data"> & { dtype?: Tensor["dtype"] }>) {
  const dtypes: Partial<Record<Tensor["dtype"], import("@jax-js/jax").DType>> = {
    F32: jax.numpy.float32,
    I32: jax.numpy.int32,
    U32: jax.numpy.uint32,
  };
  return Object.fromEntries(
    Object.entries(tensors).map(([name, { dtype = "F32", shape, data }]) => {
      const type = dtypes[dtype];
      if (!type) throw new TypeError(`${name}: jax-js has no ${dtype} here; F32, I32 and U32 can be used`);
      return [name, jax.numpy.array(data as Float32Array<ArrayBuffer>, { shape: [...shape], dtype: type })];
    }),
  );
}
