/**
 * A small GPT that learns to write TypeScript declarations, one character at a time. The model is a pure function
 * written with jax-js, which derives its gradient and compiles it; the trainer does the rest: data order, AdamW,
 * learning rate, evaluation, metrics, checkpoints, exact resume.
 *
 *   DEV_MODE=True node experiments/char-gpt.ts                    # here, about 10 s
 *   VASTLANE_PARAMS='{"steps":5000}' node experiments/char-gpt.ts # the whole of it
 *
 * Kill it at any moment and start it again: it ends with the same numbers, bit for bit.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import * as jax from "@jax-js/jax";
import { openExperiment, packageFolder } from "vastlane/experiment";
import {
  adamW,
  countParams,
  filled,
  InterruptibleTrainer,
  type JaxArray,
  type JaxArrays,
  jaxFunction,
  jaxModel,
  normal,
  type Params,
  type Rng,
  rngOf,
  warmupCosine,
} from "vastlane/trainer";

const { nn, numpy: np } = jax;

// %% Parameters: these, smaller ones under DEV_MODE, and over both what VASTLANE_PARAMS says

const run = openExperiment({
  name: "char-gpt",
  params: {
    steps: 3000,
    batch: 12, // windows a step
    context: 64, // characters a window
    layers: 3,
    heads: 4,
    width: 96,
    learningRate: 2e-3,
    seed: 1,
    logEvery: 50,
    evalEvery: 250,
    sampleLength: 400,
  },
  devParams: {
    steps: 400,
    batch: 8,
    context: 32,
    layers: 2,
    width: 64,
    learningRate: 4e-3,
    evalEvery: 100,
    sampleLength: 200,
  },
  mayChange: ["logEvery", "evalEvery", "sampleLength"],
});
const { steps, batch, context, layers, heads, width, learningRate, seed } = run.params;

// %% The text: its bytes, numbered anew so that those which never occur cost nothing. Its last tenth is for evaluation

const folder = join(packageFolder("typescript"), "lib");
const files = readdirSync(folder).filter((name) => /^lib\..*\.d\.ts$/.test(name));
const text = Buffer.concat(files.sort().map((name) => readFileSync(join(folder, name))));
const characters = [...new Set(text)].sort((a, b) => a - b);
const numberOf = Uint8Array.from({ length: 256 }, (_, byte) => characters.indexOf(byte));
const corpus = text.map((byte) => numberOf[byte] ?? 0);
const vocabulary = characters.length;
const training = corpus.subarray(0, Math.floor(0.9 * corpus.length));
const heldOut = corpus.subarray(training.length);

/** Windows of the text by their numbers, and the characters that follow each of theirs: both [windows, context]. */
function windows(of: Uint8Array, numbers: Iterable<number>) {
  const starts = Array.from(numbers, (number) => number * context);
  const cut = (shift: number) => ({
    dtype: "I32" as const,
    shape: [starts.length, context],
    data: Int32Array.from(starts.flatMap((at) => [...of.subarray(at + shift, at + shift + context)])),
  });
  return { tokens: cut(0), targets: cut(1) };
}

const data = {
  count: Math.floor((training.length - 1) / context),
  batch: (examples: Uint32Array) => windows(training, examples),
};
const evaluationBatches = Array.from({ length: 8 }, (_, number) => {
  const each = Math.floor((heldOut.length - 1) / context / (8 * batch)); // spread evenly over the text
  return windows(
    heldOut,
    Array.from({ length: batch }, (_, index) => (number * batch + index) * each),
  );
});

// %% The model: characters and positions embedded, blocks of attention and MLP, logits by the embedding again.
// In jax-js an array is used up by the function it is passed to; `.ref` keeps it for another use.

function init(rng: Rng): Params {
  const params: Params = {
    embed: normal(rng, [vocabulary, width], 0.05),
    positions: normal(rng, [context, width], 0.05),
    norm: filled([width], 1),
  };
  const deviation = 1 / Math.sqrt(width);
  const deep = deviation / Math.sqrt(2 * layers); // what is added to the residual stream grows with depth
  for (let layer = 0; layer < layers; layer++) {
    params[`${layer}.attention.norm`] = filled([width], 1);
    params[`${layer}.attention.qkv`] = normal(rng, [width, 3 * width], deviation);
    params[`${layer}.attention.out`] = normal(rng, [width, width], deep);
    params[`${layer}.mlp.norm`] = filled([width], 1);
    params[`${layer}.mlp.up`] = normal(rng, [width, 4 * width], deviation);
    params[`${layer}.mlp.down`] = normal(rng, [4 * width, width], deep / 2);
  }
  return params;
}

/** Logits of the character after each one: [rows * time, vocabulary], for tokens [rows, time]. */
function logitsOf(params: JaxArrays, tokens: JaxArray): JaxArray {
  const [rows = 0, time = 0] = tokens.shape;
  const weight = (name: string) => params[name] as JaxArray;
  const normed = (x: JaxArray, gain: string) => nn.standardize(x).mul(weight(gain));

  const embedded = np.matmul(nn.oneHot(tokens, vocabulary).reshape([rows * time, vocabulary]), weight("embed").ref);
  let x = embedded
    .reshape([rows, time, width])
    .add(weight("positions"))
    .reshape([rows * time, width]);
  for (let layer = 0; layer < layers; layer++) {
    const qkv = np.matmul(normed(x.ref, `${layer}.attention.norm`), weight(`${layer}.attention.qkv`));
    const [q, k, v] = np.split(qkv, 3, -1).map((part) => part.reshape([rows, time, heads, width / heads])) as [
      JaxArray,
      JaxArray,
      JaxArray,
    ];
    const mixed = nn.dotProductAttention(q, k, v, { isCausal: true }).reshape([rows * time, width]);
    x = x.add(np.matmul(mixed, weight(`${layer}.attention.out`)));

    const up = np.matmul(normed(x.ref, `${layer}.mlp.norm`), weight(`${layer}.mlp.up`));
    x = x.add(np.matmul(nn.gelu(up), weight(`${layer}.mlp.down`)));
  }
  return np.matmul(normed(x, "norm"), weight("embed").transpose());
}

/** Mean cross entropy in nats per character. */
function loss(params: JaxArrays, { tokens, targets }: JaxArrays): JaxArray {
  const logLikelihoods = nn.logSoftmax(logitsOf(params, tokens as JaxArray), -1);
  const wanted = nn.oneHot((targets as JaxArray).reshape([-1]), vocabulary);
  return logLikelihoods.mul(wanted).sum(-1).mean().mul(-1);
}

// %% Training

const trainer = new InterruptibleTrainer({
  run,
  model: jaxModel(jax, { init, loss }),
  optimizer: adamW({ beta2: 0.99, weightDecay: 0.1, clipNorm: 1 }),
  schedule: warmupCosine({ peak: learningRate, warmupSteps: Math.floor(steps / 20), totalSteps: steps }),
  data,
  steps,
  batchSize: batch,
  seed,
  logEvery: run.params.logEvery,
  evaluation: { every: run.params.evalEvery, batches: evaluationBatches },
});
const size = `${(corpus.length / 1e6).toFixed(1)} MB, ${vocabulary} characters`;
console.log(`char-gpt: corpus ${size}, ${countParams(init(rngOf(seed, "count")))} parameters, ${steps} steps`);
const trained = await trainer.run();

// %% A sample of what it writes

const nextLogits = jaxFunction(jax, (params, { tokens }) => logitsOf(params, tokens as JaxArray));
const rng = rngOf(seed, "sample");
const written = [...windows(heldOut, [0]).tokens.data].slice(0, 16);
while (written.length < run.params.sampleLength) {
  const seen = written.slice(-context);
  const tokens = Int32Array.from({ length: context }, (_, index) => seen[index] ?? 0); // what is after has no effect
  const logits = await nextLogits(trained.params, { tokens: { dtype: "I32", shape: [1, context], data: tokens } });
  written.push(draw(logits.subarray((seen.length - 1) * vocabulary, seen.length * vocabulary)));
}
console.log(Buffer.from(written.map((number) => characters[number] ?? 0)).toString("latin1"));
console.log(`done: loss ${trained.loss?.toFixed(4)}, evaluation ${trained.evalLoss?.toFixed(4)} after ${steps} steps`);

/** Draws from the softmax of logits. */
function draw(logits: Float32Array): number {
  const highest = logits.reduce((a, b) => Math.max(a, b));
  const likelihoods = Array.from(logits, (logit) => Math.exp(logit - highest));
  let left = rng.uniform() * likelihoods.reduce((a, b) => a + b);
  return Math.max(
    0,
    likelihoods.findIndex((likelihood) => {
      left -= likelihood;
      return left < 0;
    }),
  );
}
