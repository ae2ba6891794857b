/**
 * How much a save holds up the training, at the size of a 10.7 M parameter model: 128 MB with AdamW's moments. The
 * steps that follow a save, in which it is written beside, are compared with the others of the same run.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newestCheckpoint } from "../../runtime/checkpoint/index.ts";
import { adamW, autoInterval, constant, filled, InterruptibleTrainer, sizeOf } from "../../runtime/trainer/index.ts";

export interface StallReport {
  megabytes: number;
  saves: number;
  /** Median of the steps without a save. */
  stepMs: number;
  /** Of the step after which the state is copied, beyond a usual step: median. */
  copyMs: number;
  /** All that the steps from a save to its end take more than usual: mean. */
  stalledMsPerSave: number;
  /** Of the save, from its begin to the finished checkpoint: median. */
  writeMs: number;
  /** The default, `auto`, for such a save and a run that was never interrupted. */
  intervalSeconds: number;
  /** Part of the run time. */
  share: number;
}

export async function measureStall({ parameters = 10_700_000, saves = 5, everySteps = 30 } = {}): Promise<StallReport> {
  const dir = mkdtempSync(join(tmpdir(), "vl-stall-"));
  try {
    const begins: number[] = [];
    const writes: number[] = [];
    let seen = newestCheckpoint(dir);
    let saveBegan = 0;
    const shape = [1000, Math.ceil(parameters / 1000)];
    const gradient = new Float32Array(sizeOf(shape)).fill(0.01);
    const trainer = new InterruptibleTrainer({
      run: {
        name: "stall",
        params: {},
        mayChange: [],
        checkpointDir: dir,
        logMetrics: () => {},
        shouldStop: () => new Promise((resolve) => setImmediate(() => resolve(false))),
        leave: () => process.exit(1),
      },
      model: {
        init: () => ({ w: filled(shape, 1) }),
        lossAndGrad() {
          const now = performance.now();
          begins.push(now);
          if (begins.length % everySteps === 1) saveBegan = now;
          const newest = newestCheckpoint(dir);
          if (newest !== seen) writes.push(now - saveBegan);
          seen = newest;
          return { loss: 1, grads: { w: gradient } };
        },
      },
      optimizer: adamW(),
      schedule: constant(1e-3),
      data: { count: 1, batch: () => 0 },
      steps: (saves + 1) * everySteps,
      batchSize: 1,
      logEvery: Number.POSITIVE_INFINITY,
      checkpoint: { everySteps, everySeconds: 1e9, keepLast: 2 },
      log: () => {},
    });
    await trainer.run();
    return report(begins, writes, everySteps, megabytesOf(newestCheckpoint(dir) ?? ""));
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** `begins`: when each step began; after every `everySteps`-th one there was a save. */
function report(begins: number[], writes: number[], everySteps: number, megabytes: number): StallReport {
  const durations = begins.slice(1).map((at, index) => at - (begins[index] as number));
  const writeMs = median(writes);
  const first = everySteps - 1; // of the step that ends with the first save
  const since = (index: number) => (index - first) % everySteps;
  const isUsual = (index: number) => index > 3 && (index < first || since(index) > everySteps / 2);
  const stepMs = median(durations.filter((_, index) => isUsual(index)));
  const during = Math.ceil(writeMs / stepMs) + 1;
  const extra = (index: number) => (durations[index] as number) - stepMs;
  const ends = durations.map((_, index) => index).filter((index) => index >= first && since(index) === 0);
  const totals = ends.map((end) => {
    let sum = 0;
    for (let index = end; index < Math.min(end + during, durations.length); index++) sum += extra(index);
    return sum;
  });
  const copyMs = median(ends.map(extra));
  const stalledMsPerSave = totals.reduce((a, b) => a + b, 0) / totals.length;
  const intervalSeconds = autoInterval({
    stallSeconds: Math.max(0, stalledMsPerSave) / 1000,
    writeSeconds: writeMs / 1000,
    interruptions: 0,
    activeSeconds: 0,
  });
  const share = stalledMsPerSave / 1000 / intervalSeconds;
  return { megabytes, saves: ends.length, stepMs, copyMs, stalledMsPerSave, writeMs, intervalSeconds, share };
}

function megabytesOf(folder: string): number {
  const { files } = JSON.parse(readFileSync(join(folder, "manifest.json"), "utf8")) as { files: { bytes: number }[] };
  return files.reduce((sum, { bytes }) => sum + bytes, 0) / 1e6;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

export async function run(): Promise<void> {
  const found = await measureStall();
  const ms = (value: number) => `${value.toFixed(1)} ms`;
  process.stdout.write(
    [
      `  state                     ${found.megabytes.toFixed(0)} MB, ${found.saves} saves, a step takes ${ms(found.stepMs)}`,
      `  state copied in           ${ms(found.copyMs)} (training stands still)`,
      `  written beside in         ${ms(found.writeMs)}`,
      `  training stalled by       ${ms(found.stalledMsPerSave)} a save, slower steps during the write included`,
      `  at the default interval   ${found.intervalSeconds.toFixed(1)} s: ${(100 * found.share).toFixed(2)} % of run time (goal: < 1 %)`,
      "",
    ].join("\n"),
  );
}
