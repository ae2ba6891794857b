/**
 * The smallest language model that learns something: given one character, guess the next.
 * It trains on real text (TypeScript's own type declarations), in plain TypeScript, with its gradient written by
 * hand, and shows what every vastlane experiment does: parameters, metrics, checkpoints, exact resume.
 *
 *   node experiments/bigram.ts                                        # here, about 6 s
 *   VASTLANE_PARAMS='{"steps":500}' node experiments/bigram.ts
 *
 * Kill it at any moment and start it again: it ends with the same numbers, bit for bit.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { openExperiment, packageFolder } from "vastlane/experiment";
import { constant, filled, InterruptibleTrainer, normal, type Params, type Rng, sgd } from "vastlane/trainer";

// %% Parameters: these, smaller ones under DEV_MODE, and over both what VASTLANE_PARAMS says

const run = openExperiment({
  name: "bigram",
  params: { steps: 1500, batch: 256, width: 32, learningRate: 2, seed: 1, logEvery: 100 },
  devParams: { steps: 400 },
  mayChange: ["steps", "logEvery"],
});
const { steps, batch, width, learningRate, seed, logEvery } = run.params;

// %% The text: its bytes, numbered anew so that those which never occur cost nothing

const folder = join(packageFolder("typescript"), "lib");
const files = readdirSync(folder).filter((name) => /^lib\..*\.d\.ts$/.test(name));
const text = Buffer.concat(files.sort().map((name) => readFileSync(join(folder, name))));
const characters = [...new Set(text)].sort((a, b) => a - b);
const numberOf = Uint8Array.from({ length: 256 }, (_, byte) => characters.indexOf(byte));
const corpus = text.map((byte) => numberOf[byte] ?? 0);
const vocabulary = characters.length;
const size = `${(corpus.length / 1e6).toFixed(1)} MB, ${vocabulary} characters`;
console.log(`bigram: corpus ${size}, ${steps} steps of ${batch}`);

// %% The model: logits[next] = sum over k of embed[previous, k] * unembed[next, k]

function init(rng: Rng): Params {
  return { embed: normal(rng, [vocabulary, width], 0.3), unembed: filled([vocabulary, width], 0) };
}

/** Mean loss in nats per character and its gradient, by hand. An example is a place in the text. */
function lossAndGrad(params: Params, places: Uint32Array) {
  const embed = params.embed?.data as Float32Array; // [vocabulary, width]
  const unembed = params.unembed?.data as Float32Array; // [vocabulary, width]
  const grads = { embed: new Float32Array(embed.length), unembed: new Float32Array(unembed.length) };
  let loss = 0;
  for (const at of places) {
    const [previous = 0, next = 0] = corpus.subarray(at, at + 2);
    const probabilities = guess(embed, unembed, previous);
    loss -= Math.log(probabilities[next] as number) / places.length;
    // Softmax and cross entropy together: dLoss/dLogit = probability, less 1 for the character that came.
    probabilities.forEach((probability, character) => {
      const dLogit = (probability - (character === next ? 1 : 0)) / places.length;
      addRow(grads.unembed, character, dLogit, embed, previous);
      addRow(grads.embed, previous, dLogit, unembed, character);
    });
  }
  return { loss, grads };
}

/** Probabilities of what follows a character: softmax of its logits. */
function guess(embed: Float32Array, unembed: Float32Array, previous: number): Float64Array {
  const likelihoods = new Float64Array(vocabulary);
  for (let character = 0; character < vocabulary; character++) {
    likelihoods[character] = Math.exp(dotRows(embed, previous, unembed, character));
  }
  const sum = likelihoods.reduce((a, b) => a + b);
  return likelihoods.map((likelihood) => likelihood / sum);
}

/** Dot product of row `i` of `a` and row `j` of `b`. */
function dotRows(a: Float32Array, i: number, b: Float32Array, j: number): number {
  let sum = 0;
  for (let k = 0; k < width; k++) sum += (a[i * width + k] as number) * (b[j * width + k] as number);
  return sum;
}

/** Row `i` of `target` += factor x row `j` of `source`. */
function addRow(target: Float32Array, i: number, factor: number, source: Float32Array, j: number): void {
  for (let k = 0; k < width; k++) (target[i * width + k] as number) += factor * (source[j * width + k] as number);
}

// %% Training: batches in an order that follows from the seed, metrics, checkpoints, and the end when told to

const trainer = new InterruptibleTrainer({
  run,
  model: { init, lossAndGrad },
  optimizer: sgd(),
  schedule: constant(learningRate),
  data: { count: corpus.length - 1, batch: (places: Uint32Array) => places },
  steps,
  batchSize: batch,
  seed,
  logEvery,
});
const { loss } = await trainer.run();
console.log(`done: loss ${loss?.toFixed(4)} after ${steps} steps`);
