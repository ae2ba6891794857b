/**
 * What an experiment needs from where it runs, the same on a rented machine and on a laptop with no agent:
 * parameters, folders, metrics and a stop signal. Checkpoints are the trainer's, or for a loop of your own those of
 * `CheckpointManager` (`vastlane/checkpoint`).
 * Public as `vastlane/experiment`. The variables are those of docs: VASTLANE_PARAMS, VASTLANE_CHECKPOINT_DIR, ...
 */
import { appendFileSync, closeSync, fstatSync, mkdirSync, openSync, readSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { UserError } from "../common/errors.ts";

export interface ExperimentOptions<P> {
  /** Names the local folder `.vastlane/runs/<name>` that is used where no variable names another. */
  name: string;
  params: P;
  /** What is smaller when DEV_MODE is True. */
  devParams?: Partial<P>;
  /** Parameters that a resumed run may change: with any other, old weights would not be what was asked for. */
  mayChange?: (keyof P)[];
}

export interface Experiment<P> {
  name: string;
  params: P;
  mayChange: readonly PropertyKey[];
  isDev: boolean;
  checkpointDir: string;
  logDir: string;
  /** Appends one line to metrics.jsonl, with the time in Unix seconds. */
  logMetrics(step: number, values: Record<string, number>): void;
  /** Whether SIGTERM or Ctrl-C asked to stop. Call it once a step: signals arrive while it waits. */
  shouldStop(): Promise<boolean>;
  /** Ends the process as one that was stopped (143), which is not "done": the agent would start it again. */
  leave(message: string): never;
}

export function openExperiment<P extends object>(options: ExperimentOptions<P>): Experiment<P> {
  const { env } = process;
  // What a person can act on is said in our three lines, without the stack of whoever found out.
  process.once("uncaughtException", (error: Error & { code?: unknown }) => {
    console.error(String(error.code).startsWith("VL_") ? error.message : error);
    process.exit(1);
  });
  const local = join(process.cwd(), ".vastlane", "runs", options.name);
  const checkpointDir = env.VASTLANE_CHECKPOINT_DIR || join(local, "checkpoints");
  const logDir = env.VASTLANE_LOG_DIR || join(local, "logs");
  const isDev = /^(true|1)$/i.test(env.DEV_MODE ?? "");
  const params: P = {
    ...options.params,
    ...(isDev ? options.devParams : {}),
    ...givenParams(env.VASTLANE_PARAMS),
  };
  const metricsPath = openMetrics(logDir);
  let isStopping = false;
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.on(signal, () => {
      if (isStopping && signal === "SIGINT") process.exit(130); // asked twice
      isStopping = true;
    });
  }
  return {
    name: options.name,
    params,
    mayChange: options.mayChange ?? [],
    isDev,
    checkpointDir,
    logDir,
    logMetrics(step, values) {
      unlessDiskFull(`metrics of step ${step}`, () =>
        appendFileSync(metricsPath, `${JSON.stringify({ step, ...values, time: Date.now() / 1000 })}\n`),
      );
    },
    async shouldStop() {
      await turn();
      return isStopping;
    },
    leave(message) {
      console.log(message);
      process.exit(143);
    },
  };
}

/** @throws UserError VL_BAD_CONFIG when VASTLANE_PARAMS is not a JSON object */
function givenParams(text = ""): object {
  try {
    const given: unknown = JSON.parse(text || "{}");
    if (typeof given === "object" && given !== null && !Array.isArray(given)) return given;
  } catch {
    // said below
  }
  throw new UserError("VL_BAD_CONFIG", {
    what: `VASTLANE_PARAMS is ${text}`,
    why: "it must be a JSON object of parameters.",
    hint: `for example VASTLANE_PARAMS='{"steps":500}'`,
  });
}

/** Folder of an installed package: the project's, or that of the runtime on a machine. */
export function packageFolder(name: string): string {
  const from = [import.meta.url, join(process.cwd(), "package.json"), "/opt/vastlane/package.json"];
  for (const place of from) {
    try {
      return dirname(createRequire(place).resolve(`${name}/package.json`));
    } catch {
      // the next place
    }
  }
  throw new Error(`the package ${name} is neither in the project's node_modules nor in /opt/vastlane`);
}

/** The file to append to; a line that a kill has cut is closed, so that it spoils no other. */
function openMetrics(logDir: string): string {
  mkdirSync(logDir, { recursive: true });
  const path = join(logDir, "metrics.jsonl");
  const file = openSync(path, "a+");
  const last = Buffer.alloc(1);
  const size = fstatSync(file).size;
  if (size > 0 && readSync(file, last, 0, 1, size - 1) === 1 && last[0] !== 0x0a) appendFileSync(path, "\n");
  closeSync(file);
  return path;
}

/** Training is worth more than one line of metrics: with a full disk it goes on without. */
function unlessDiskFull(what: string, write: () => void): void {
  try {
    write();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "ENOSPC" && code !== "EDQUOT") throw error;
    console.warn(`disk full: ${what} not written`);
  }
}
