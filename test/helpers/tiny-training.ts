/**
 * A training to be killed: a process of its own that fits a linear model with every kind of state that a checkpoint
 * must keep (AdamW, dropout, noisy data, a schedule). The variable TINY says how, and at which moment it ends itself.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { openExperiment } from "../../runtime/experiment.ts";
import {
  adamW,
  filled,
  InterruptibleTrainer,
  type Model,
  normal,
  rngOf,
  warmupCosine,
} from "../../runtime/trainer/index.ts";

export interface Tiny {
  steps: number;
  everySteps: number;
  /** Numbers that are saved and hardly trained, to make saves long. */
  ballast?: number;
  /** While it computes this step, so many milliseconds in, it gets this signal. */
  end?: { step: number; afterMs: number; signal: NodeJS.Signals; times?: number };
  /** The loss of this step is not a number. */
  nanAt?: number;
  /** Milliseconds of each step. */
  stepMs?: number;
  /** The step after a save waits until it is on the disk, so that each multiple of `everySteps` is saved. */
  isPatient?: boolean;
}

const tiny = JSON.parse(process.env.TINY ?? "{}") as Tiny;
const WIDTH = 8;

const run = openExperiment({ name: "tiny", params: { width: WIDTH, rate: 0.3 }, mayChange: [] });
let step = 0;

function wait(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

type Batch = { x: Float64Array; y: number }[];
const model: Model<Batch> = {
  init: (rng) => ({
    weights: normal(rng, [WIDTH, 1], 0.1),
    ballast: filled([tiny.ballast ?? 1], 1),
  }),
  async lossAndGrad({ weights, ballast }, batch, rng) {
    wait(tiny.stepMs ?? 0);
    if (tiny.isPatient && step > 0 && (stepNow() - 1) % tiny.everySteps === 0) await saved(stepNow() - 1);
    const { end } = tiny;
    if (end && stepNow() === end.step) {
      wait(end.afterMs);
      for (let n = 0; n < (end.times ?? 1); n++) process.kill(process.pid, end.signal);
    }
    const grads = { weights: new Float32Array(WIDTH), ballast: new Float32Array(ballast?.data.length ?? 0) };
    let loss = 0;
    for (const { x, y } of batch) {
      const kept = Float64Array.from(x, (value) => (rng.uniform() < 0.1 ? 0 : value)); // dropout
      const miss = kept.reduce((sum, value, i) => sum + value * (weights?.data[i] ?? 0), 0) - y;
      loss += miss ** 2 / batch.length;
      kept.forEach((value, i) => {
        (grads.weights[i] as number) += (2 * miss * value) / batch.length;
      });
    }
    grads.ballast[stepNow() % grads.ballast.length] = loss;
    return { loss: started + ++step === tiny.nanAt ? Number.NaN : loss, grads };
  },
  evaluate: ({ weights }, batch) =>
    batch.reduce((sum, { x, y }) => sum + (x.reduce((s, v, i) => s + v * (weights?.data[i] ?? 0), 0) - y) ** 2, 0),
};

/** Until the checkpoint is on the disk and the trainer has had time to hear of it. */
async function saved(at: number): Promise<void> {
  const folder = join(run.checkpointDir, `step-${String(at).padStart(8, "0")}`);
  for (let tries = 0; tries < 1000 && !existsSync(folder); tries++) await sleep(5);
  await sleep(25);
}

/** Number of the step that is being computed, the first being 1. */
function stepNow(): number {
  return started + step + 1;
}
let started = 0;

const example = (number: number, noise: number) => {
  const rng = rngOf(number, "example");
  const x = Float64Array.from({ length: WIDTH }, () => rng.normal());
  return { x, y: x.reduce((sum, value, i) => sum + value * (i - 3), 0) + noise };
};

const trained = await new InterruptibleTrainer({
  run,
  model,
  optimizer: adamW({ clipNorm: 5 }),
  schedule: warmupCosine({ peak: run.params.rate, warmupSteps: 5, totalSteps: tiny.steps }),
  data: { count: 37, batch: (examples, rng) => Array.from(examples, (number) => example(number, 0.1 * rng.normal())) },
  steps: tiny.steps,
  batchSize: 4,
  seed: 3,
  logEvery: 5,
  evaluation: { every: 10, batches: [Array.from({ length: 5 }, (_, n) => example(1000 + n, 0))] },
  checkpoint: { everySteps: tiny.everySteps },
  log(line) {
    started = Number(/^resumed at step (\d+)$/.exec(line)?.[1] ?? started);
    console.log(line);
  },
}).run();
console.log(`done: step ${trained.step}, loss ${trained.loss}, evaluation ${trained.evalLoss}`);
