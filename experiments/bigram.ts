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
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openExperiment, packageFolder } from "vastlane/experiment";

// %% Parameters: these, smaller ones under DEV_MODE, and over both what VASTLANE_PARAMS says

const run = openExperiment({
  name: "bigram",
  params: { steps: 1500, batch: 256, width: 32, learningRate: 2, seed: 1, logEvery: 100, saveEvery: 200 },
  devParams: { steps: 400 },
  mayChange: ["steps", "logEvery", "saveEvery"],
});
const { steps, batch, width, learningRate, seed } = run.params;

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

const random = randomOf(seed, -1);
const embed = Float32Array.from({ length: vocabulary * width }, () => random() - 0.5); // [vocabulary, width]
const unembed = Float32Array.from({ length: vocabulary * width }, () => 0); // [vocabulary, width]
const weights = { embed, unembed };
const probabilities = new Float32Array(vocabulary);

// %% Resume: weights, the step, and the sum behind the next printed loss are all the state there is.
// The batch of a step follows from (seed, step) alone, so no position and no random state is kept.

let step = 0;
let loss = Math.log(vocabulary); // the last printed one; at first, that of a guess which knows nothing
let lossSum = 0; // of the steps since
if (run.resumeFrom) {
  for (const [name, array] of Object.entries(weights)) {
    new Uint8Array(array.buffer).set(readFileSync(join(run.resumeFrom.folder, `${name}.f32`)));
  }
  ({ step, loss, lossSum } = JSON.parse(readFileSync(join(run.resumeFrom.folder, "state.json"), "utf8")));
  console.log(`resumed at step ${step}`);
}

function save(): void {
  run.saveCheckpoint(step, (into) => {
    for (const [name, array] of Object.entries(weights)) writeFileSync(join(into, `${name}.f32`), array);
    writeFileSync(join(into, "state.json"), JSON.stringify({ step, loss, lossSum }));
  });
}

// %% One step of gradient descent, forward and backward by hand. Returns the mean loss in nats per character.

const dEmbed = new Float32Array(embed.length);
const dUnembed = new Float32Array(unembed.length);

function trainStep(): number {
  const draw = randomOf(seed, step);
  dEmbed.fill(0);
  dUnembed.fill(0);
  let sum = 0;
  for (let n = 0; n < batch; n++) {
    const at = Math.floor(draw() * (corpus.length - 1));
    const [previous = 0, next = 0] = corpus.subarray(at, at + 2);
    guess(previous);
    sum -= Math.log(probabilities[next] ?? 0);
    // Softmax and cross entropy together: dLoss/dLogit = probability, less 1 for the character that came.
    probabilities.forEach((probability, character) => {
      const dLogit = (probability - (character === next ? 1 : 0)) / batch;
      addRow(dUnembed, character, dLogit, embed, previous);
      addRow(dEmbed, previous, dLogit, unembed, character);
    });
  }
  for (let row = 0; row < vocabulary; row++) {
    addRow(embed, row, -learningRate, dEmbed, row);
    addRow(unembed, row, -learningRate, dUnembed, row);
  }
  return sum / batch;
}

/** Sets the probabilities of what follows a character: softmax of its logits. */
function guess(previous: number): void {
  let sum = 0;
  for (let character = 0; character < vocabulary; character++) {
    const likelihood = Math.exp(dotRows(embed, previous, unembed, character));
    probabilities[character] = likelihood;
    sum += likelihood;
  }
  for (let character = 0; character < vocabulary; character++) (probabilities[character] as number) /= sum;
}

// %% Training: log, save, and stop when told to

let timed = { step, at: performance.now() };
while (step < steps) {
  lossSum += trainStep();
  step += 1;
  if (step % run.params.logEvery === 0) {
    loss = lossSum / run.params.logEvery;
    lossSum = 0;
    const tokensPerSecond = Math.round(((step - timed.step) * batch * 1000) / (performance.now() - timed.at));
    timed = { step, at: performance.now() };
    console.log(`step ${step} loss ${loss.toFixed(4)} (${tokensPerSecond} tokens/s)`);
    run.logMetrics(step, { loss, tokensPerSecond });
  }
  const isStopping = await run.shouldStop();
  if (isStopping || step % run.params.saveEvery === 0 || step === steps) save();
  if (isStopping) run.leave(`stopped at step ${step}, checkpoint saved`);
}
console.log(`done: loss ${loss.toFixed(4)} after ${step} steps`);

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

/** Numbers in [0, 1) from a seed and a stream's number (mulberry32). */
function randomOf(seed: number, stream: number): () => number {
  let state = Math.imul(seed, 0x9e3779b1) ^ Math.imul(stream + 1, 0x85ebca6b);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
