import * as jax from "@jax-js/jax";
import { expect, test } from "vitest";
import type { Tensors } from "../../../../runtime/checkpoint/index.ts";
import { type JaxArray, type JaxArrays, jaxFunction, jaxModel } from "../../../../runtime/trainer/jax-model.ts";
import { normal } from "../../../../runtime/trainer/params.ts";
import { rngOf } from "../../../../runtime/trainer/rng.ts";
import type { Params, Rng } from "../../../../runtime/trainer/types.ts";

const { nn, numpy: np } = jax;
const [ROWS, TIME, WIDTH, HEADS, VOCABULARY] = [2, 5, 8, 2, 7];

/** A transformer's block with all that char-gpt has. */
function init(rng: Rng): Params {
  return {
    embed: normal(rng, [VOCABULARY, WIDTH], 0.5),
    positions: normal(rng, [TIME, WIDTH], 0.5),
    norm: normal(rng, [WIDTH], 1),
    qkv: normal(rng, [WIDTH, 3 * WIDTH], 0.4),
    out: normal(rng, [WIDTH, WIDTH], 0.4),
    up: normal(rng, [WIDTH, 2 * WIDTH], 0.4),
    down: normal(rng, [2 * WIDTH, WIDTH], 0.4),
  };
}
function logitsOf(params: JaxArrays, tokens: JaxArray): JaxArray {
  const weight = (name: string) => params[name] as JaxArray;
  const hot = nn.oneHot(tokens, VOCABULARY).reshape([ROWS * TIME, VOCABULARY]);
  let x = np.matmul(hot, weight("embed").ref).reshape([ROWS, TIME, WIDTH]).add(weight("positions"));
  x = x.reshape([ROWS * TIME, WIDTH]);
  const qkv = np.matmul(nn.standardize(x.ref).mul(weight("norm")), weight("qkv"));
  const parts = np.split(qkv, 3, -1).map((part) => part.reshape([ROWS, TIME, HEADS, WIDTH / HEADS]));
  const [q, k, v] = parts as [JaxArray, JaxArray, JaxArray];
  const mixed = nn.dotProductAttention(q, k, v, { isCausal: true }).reshape([ROWS * TIME, WIDTH]);
  x = x.add(np.matmul(mixed, weight("out")));
  x = x.add(np.matmul(nn.gelu(np.matmul(x.ref, weight("up"))), weight("down")));
  return np.matmul(x, weight("embed").transpose());
}
function loss(params: JaxArrays, { tokens, targets }: JaxArrays): JaxArray {
  const likelihoods = nn.logSoftmax(logitsOf(params, tokens as JaxArray), -1);
  const wanted = nn.oneHot((targets as JaxArray).reshape([-1]), VOCABULARY);
  return likelihoods.mul(wanted).sum(-1).mean().mul(-1);
}

const model = jaxModel(jax, { init, loss });
const rng = rngOf(1, "test");
const params = init(rng);
const numbers = (): Tensors[string] => ({
  dtype: "I32",
  shape: [ROWS, TIME],
  data: Int32Array.from({ length: ROWS * TIME }, () => rng.below(VOCABULARY)),
});
const batch = { tokens: numbers(), targets: numbers() };

test("the gradient of every parameter is what finite differences give", async () => {
  const { grads } = await model.lossAndGrad(params, batch, rng);
  expect(Object.keys(grads).sort()).toEqual(Object.keys(params).sort());
  for (const [name, { data }] of Object.entries(params)) {
    // Along the gradient, where the slope is its length: float32 has too few digits for one element at a time.
    const gradient = grads[name] as Float32Array;
    const length = Math.hypot(...gradient);
    const before = data.slice();
    const lossAt = async (shift: number) => {
      for (let i = 0; i < data.length; i++)
        data[i] = (before[i] as number) + (shift * (gradient[i] as number)) / length;
      return (await model.evaluate?.(params, batch)) as number;
    };
    const slope = ((await lossAt(0.01)) - (await lossAt(-0.01))) / 0.02;
    data.set(before);
    expect(length, name).toBeGreaterThan(1e-3);
    expect(Math.abs(slope / length - 1), name).toBeLessThan(0.02);
  }
});

test("the same step gives the same bits, and changes nothing that it was given", async () => {
  const copy = structuredClone({ params, batch });
  const first = await model.lossAndGrad(params, batch, rng);
  const second = await model.lossAndGrad(params, batch, rng);
  expect(second).toEqual(first);
  expect({ params, batch }).toEqual(copy);
  expect(first.loss).toBe(await model.evaluate?.(params, batch));
});

test("attention looks at no later character", async () => {
  const logits = jaxFunction(jax, (p, { tokens }) => logitsOf(p, tokens as JaxArray));
  const before = await logits(params, { tokens: batch.tokens });
  const changed = structuredClone(batch.tokens);
  changed.data[TIME - 1] = (Number(changed.data[TIME - 1]) + 1) % VOCABULARY; // the first row's last
  const after = await logits(params, { tokens: changed });
  const until = (TIME - 1) * VOCABULARY;
  expect(after.slice(0, until)).toEqual(before.slice(0, until));
  expect(after.slice(until, until + VOCABULARY)).not.toEqual(before.slice(until, until + VOCABULARY));
});

test("a type that cannot be used is refused by the tensor's name", async () => {
  const wrong = { ...batch, tokens: { dtype: "F64", shape: [1], data: new Float64Array(1) } } as Tensors;
  await expect(async () => model.lossAndGrad(params, wrong, rng)).rejects.toThrow(/tokens: jax-js has no F64 here/);
});
