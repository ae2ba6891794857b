/**
 * The training loop of a run that may be killed at any moment. Started again, on this machine or another, it goes on
 * from its newest checkpoint and ends with the same bits as a run that was left alone. It needs no market, agent or
 * store: on a laptop it does the same in a local folder.
 */
import { UserError } from "../../common/errors.ts";
import type { Tensors } from "../checkpoint/index.ts";
import type { Experiment } from "../experiment.ts";
import { autoInterval, type Interval, intervalOf, isDue } from "./interval.ts";
import { epochOrder } from "./order.ts";
import { findResumable, type Resumable, type SavedProgress } from "./resume.ts";
import { rngStreams } from "./rng.ts";
import { openSaver } from "./saver.ts";
import { copyInto, groupOf, joinGroups } from "./snapshot.ts";
import type { Data, Model, Optimizer, Params, Schedule } from "./types.ts";

export interface TrainerOptions<B> {
  /** What `openExperiment` gave: parameters, folders, metrics, signals. */
  run: Pick<
    Experiment<object>,
    "name" | "params" | "mayChange" | "checkpointDir" | "logMetrics" | "shouldStop" | "leave"
  >;
  model: Model<B>;
  optimizer: Optimizer;
  schedule: Schedule;
  data: Data<B>;
  steps: number;
  batchSize: number;
  /** Of parameters, data order and all other random numbers. */
  seed?: number;
  /** Steps from one line of metrics to the next. */
  logEvery?: number;
  /** Loss on batches that are not trained on, every so many steps and at the end. */
  evaluation?: { every: number; batches: readonly B[] };
  /** Called with each line of metrics. */
  onMetrics?: (step: number, values: Record<string, number>) => void | Promise<void>;
  /** Default: what the stack's configuration says, else by time alone. */
  checkpoint?: Partial<Interval>;
  log?: (line: string) => void;
}

export interface Trained {
  step: number;
  params: Params;
  /** Mean over the last steps that were logged. */
  loss: number | null;
  evalLoss: number | null;
}

/** Adds up over a run; a checkpoint keeps it. */
type Progress = Omit<SavedProgress, "format" | "data" | "schedule" | "isStop" | "params">;

const seconds = () => performance.now() / 1000;

export class InterruptibleTrainer<B> {
  readonly #options: TrainerOptions<B>;

  constructor(options: TrainerOptions<B>) {
    const { steps, batchSize, data } = options;
    for (const [name, value] of Object.entries({ steps, batchSize, "data.count": data.count })) {
      if (Number.isSafeInteger(value) && value > 0) continue;
      throw new UserError("VL_BAD_CONFIG", {
        what: `${name} is ${value}.`,
        why: "it must be a positive whole number.",
        hint: "correct it in the experiment, or in VASTLANE_PARAMS",
      });
    }
    this.#options = options;
  }

  /**
   * Trains up to `steps`. On SIGTERM or Ctrl-C it finishes the step, saves, and ends the process with 143.
   * @throws UserError VL_CHECKPOINT_BAD when there is a checkpoint that must not be used; VL_LOSS_NOT_FINITE; VL_DISK_FULL
   */
  async run(): Promise<Trained> {
    const { run, model, optimizer, schedule, data, steps, batchSize } = this.#options;
    const { seed = 1, logEvery = 10, evaluation, onMetrics, log = console.log } = this.#options;
    const interval = intervalOf(this.#options.checkpoint);
    const streams = rngStreams(seed);
    const params = model.init(streams.stream("init"));
    const state = optimizer.init(params);
    const orderOf = epochOrder(data.count, seed);
    const modelRng = streams.stream("model");
    const dataRng = streams.stream("data");
    const progress: Progress = {
      step: 0,
      loss: { sum: 0, count: 0, last: null },
      evaluation: { step: 0, loss: null },
      interruptions: 0,
      activeSeconds: 0,
    };
    let position = 0; // examples seen

    function allTensors(): Tensors {
      const order = { dtype: "I64", shape: [], data: BigInt64Array.of(BigInt(position)) } as const;
      return joinGroups({ params: tensorsOf(params), optimizer: state, rng: { ...streams.state(), order } });
    }

    // Where the last process left off

    const found = await findResumable({
      dir: run.checkpointDir,
      wanted: process.env.VASTLANE_RESUME_FROM,
      experiment: run.name,
      params: run.params,
      mayChange: run.mayChange,
      log,
    });
    if (found) {
      restore(found, allTensors());
      const { order, ...rng } = groupOf(found.tensors, "rng");
      streams.restore(rng);
      position = Number(order?.data[0]);
      refuseOtherData(found, data.count);
      const { loss, step, interruptions, activeSeconds, isStop } = found.progress;
      Object.assign(progress, { step, loss, evaluation: found.progress.evaluation, activeSeconds });
      progress.interruptions = interruptions + (isStop ? 0 : 1);
      log(`resumed at step ${step}`);
    }

    // Saving, logging, evaluating

    const begun = { seconds: seconds(), activeSeconds: progress.activeSeconds };
    const target = { localDir: run.checkpointDir, experiment: run.name, keepLast: interval.keepLast };
    const saver = openSaver(target, seconds, log);
    const bytes = Object.values(allTensors()).reduce((sum, { data }) => sum + data.byteLength, 0);
    let lastSave = { step: progress.step, seconds: begun.seconds };

    function save({ isStop }: { isStop: boolean }): void {
      progress.activeSeconds = begun.activeSeconds + seconds() - begun.seconds;
      const epoch = Math.floor(position / data.count);
      const saved: SavedProgress = {
        format: 1,
        ...progress,
        data: { epoch, offset: position % data.count, examples: data.count, seed },
        schedule: { learningRate: schedule(progress.step) },
        isStop,
        params: { ...run.params },
      };
      const metrics = Object.fromEntries(
        Object.entries({ loss: progress.loss.last, evalLoss: progress.evaluation.loss }).filter(([, v]) => v !== null),
      ) as Record<string, number>;
      saver.begin({ step: progress.step, tensors: allTensors(), state: saved, metrics });
      lastSave = { step: progress.step, seconds: seconds() };
    }

    function isSaveDue(): boolean {
      const { interruptions } = progress;
      const activeSeconds = begun.activeSeconds + seconds() - begun.seconds;
      const every =
        interval.everySeconds === "auto"
          ? autoInterval({ ...saver.cost(bytes), interruptions, activeSeconds })
          : interval.everySeconds;
      return isDue(interval, every, { step: progress.step, seconds: seconds() }, lastSave);
    }

    async function logMetrics(values: Record<string, number>): Promise<void> {
      run.logMetrics(progress.step, values);
      await onMetrics?.(progress.step, values);
    }

    let timed = { step: progress.step, seconds: seconds() };
    async function logLoss(): Promise<void> {
      const { step } = progress;
      const loss = progress.loss.sum / progress.loss.count;
      progress.loss = { sum: 0, count: 0, last: loss };
      const stepsPerSecond = (step - timed.step) / (seconds() - timed.seconds);
      timed = { step, seconds: seconds() };
      log(`step ${step} loss ${loss.toFixed(4)} (${stepsPerSecond.toPrecision(3)} steps/s)`);
      await logMetrics({ loss, learningRate: schedule(step - 1), stepsPerSecond });
    }

    function isEvaluationDue(): boolean {
      const { step } = progress;
      if (!evaluation || !model.evaluate || step === progress.evaluation.step) return false;
      return step % evaluation.every === 0 || step >= steps;
    }

    /** Left undone when asked to stop; the next process does it. */
    async function evaluate({ batches }: { batches: readonly B[] }): Promise<void> {
      let sum = 0;
      for (const batch of batches) {
        if (await run.shouldStop()) return;
        sum += (await model.evaluate?.(params, batch)) ?? Number.NaN;
      }
      const evalLoss = sum / batches.length;
      progress.evaluation = { step: progress.step, loss: evalLoss };
      log(`step ${progress.step} evaluation loss ${evalLoss.toFixed(4)}`);
      const { last } = progress.loss;
      await logMetrics({ ...(last === null ? {} : { loss: last }), evalLoss });
      timed = { step: progress.step, seconds: seconds() };
    }

    // The loop

    try {
      for (;;) {
        if (evaluation && isEvaluationDue()) await evaluate(evaluation);
        if (progress.step >= steps && !isEvaluationDue()) break;
        if (await run.shouldStop()) {
          await saver.settle();
          if (lastSave.step !== progress.step) save({ isStop: true });
          const isSaved = await saver.settle();
          run.leave(`stopped at step ${progress.step}, checkpoint ${isSaved ? "saved" : "not saved"}`);
        }

        const stepBegun = seconds();
        const batch = await data.batch(orderOf(position, batchSize), dataRng);
        const { loss, grads } = await model.lossAndGrad(params, batch, modelRng);
        if (!Number.isFinite(loss)) {
          await saver.settle();
          throw notFinite(loss, progress.step + 1, saver.newest() ?? found?.folder);
        }
        await optimizer.update(params, grads, state, schedule(progress.step));
        progress.step += 1;
        position += batchSize;
        progress.loss.sum += loss;
        progress.loss.count += 1;
        saver.stepTook(seconds() - stepBegun);

        if (progress.step % logEvery === 0) await logLoss();
        if (!saver.isBusy() && progress.step < steps && isSaveDue()) save({ isStop: false });
      }
      await saver.settle();
      if (lastSave.step !== progress.step) save({ isStop: true });
      if (!(await saver.settle())) throw noSpace(progress.step, run.checkpointDir);
    } finally {
      await saver.end();
    }
    return { step: progress.step, params, loss: progress.loss.last, evalLoss: progress.evaluation.loss };
  }
}

function tensorsOf(params: Params): Tensors {
  return Object.fromEntries(
    Object.entries(params).map(([name, { shape, data }]) => [name, { dtype: "F32", shape, data }]),
  );
}

/** Puts saved parameters and optimizer state where they belong. `wanted` is the state of a fresh start. */
function restore({ folder, tensors }: Resumable, wanted: Tensors): void {
  const isMine = (name: string) => !name.startsWith("rng/");
  for (const name of new Set([...Object.keys(wanted), ...Object.keys(tensors)].filter(isMine))) {
    const [target, source] = [wanted[name], tensors[name]];
    const [here, there] = [describe(target), describe(source)];
    if (target && source && here === there) {
      copyInto(target.data, source.data);
      continue;
    }
    throw new UserError("VL_CHECKPOINT_BAD", {
      what: `${folder} was made by another model or optimizer.`,
      why: `${name} is ${there} in the checkpoint and ${here} in the experiment.`,
      hint: "go back to the code that made it, or move the checkpoints away to begin anew",
    });
  }
}

const describe = (tensor: Tensors[string] | undefined) =>
  tensor ? `${tensor.dtype} [${tensor.shape.join(", ")}]` : "missing";

function refuseOtherData({ folder, progress }: Resumable, count: number): void {
  if (progress.data.examples === count) return;
  throw new UserError("VL_CHECKPOINT_BAD", {
    what: `${folder} was made with other data.`,
    why: `its epochs have ${progress.data.examples} examples, those of the experiment ${count}.`,
    hint: "bring the old data back, or move the checkpoints away to begin anew",
  });
}

/** Done is only what is kept. */
function noSpace(step: number, dir: string): UserError {
  return new UserError("VL_DISK_FULL", {
    what: `the last checkpoint, of step ${step}, could not be written to ${dir}.`,
    why: "the disk is full.",
    hint: "make space and start again: it goes on from the checkpoint before",
  });
}

function notFinite(loss: number, step: number, folder: string | undefined): UserError {
  return new UserError("VL_LOSS_NOT_FINITE", {
    what: `the loss of step ${step} is ${loss}.`,
    why: `the parameters of this step are not saved; the last checkpoint is ${folder ?? "none"}.`,
    hint: "lower the learning rate, clip the gradient, or look at the batch of this step",
  });
}
