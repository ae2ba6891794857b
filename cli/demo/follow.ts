/** How the demo looks at its run: over SSH at the training, and in the store at what is safe. */
import { randomInt } from "node:crypto";
import { mkdirSync } from "node:fs";
import { parseCheckpointId } from "../../common/checkpoint-id.ts";
import { UserError } from "../../common/errors.ts";
import { silent } from "../../common/log.ts";
import { isClosed, type RunRecord } from "../../common/run-record.ts";
import type { StackConfig } from "../../infra/config.ts";
import { runSsh } from "../../infra/ssh/shell.ts";
import type { SshTarget } from "../../infra/ssh/target.ts";
import { restoreNewest } from "../../runtime/checkpoint/index.ts";
import { lineage, readHead, readRunRecord } from "../../runtime/lease/index.ts";
import type { Io } from "../command.ts";
import { openPlace, placeOfRun } from "../run-store.ts";

const WORKSPACE = `"\${VASTLANE_WORKSPACE:-/workspace}`;
export const OUTPUT = `${WORKSPACE}/logs/output.log"`;
const METRICS = `${WORKSPACE}/logs/metrics.jsonl"`;
const PATIENCE_MS = 90_000;

export async function remote(target: SshTarget, shell: string, io: Io): Promise<string> {
  return (await runSsh(target, shell, { timeoutMs: 30_000, signal: io.signal })).stdout.trim();
}

/** A step that the training has made, and when, by its own clock (which is this computer's). */
export interface SeenStep {
  step: number;
  timeMs: number;
}

/** The first line of metrics from `least` on. */
export function untilStep(target: SshTarget, least: number, io: Io): Promise<SeenStep> {
  const find = async () => (await readSteps(target, `head -n 2000 ${METRICS}`, io)).find(({ step }) => step >= least);
  return until(`step ${least}`, find, target, io);
}

/** A random step after `safe`, which is in the store; never one at which a checkpoint is made. */
export function untilRandomStep(target: SshTarget, safe: number, every: number, io: Io): Promise<SeenStep> {
  const wanted = safe + randomInt(1, every);
  const find = async () => {
    const last = (await readSteps(target, `tail -n 1 ${METRICS}`, io)).at(-1);
    return last && last.step >= wanted && last.step % every !== 0 ? last : undefined;
  };
  return until(`step ${wanted}`, find, target, io);
}

async function readSteps(target: SshTarget, shell: string, io: Io): Promise<SeenStep[]> {
  const lines = (await remote(target, `${shell} 2>/dev/null || true`, io)).split("\n");
  return lines.flatMap((line) => {
    try {
      const { step, time } = JSON.parse(line) as { step: number; time: number };
      return [{ step, timeMs: time * 1000 }];
    } catch {
      return []; // a half line
    }
  });
}

export function openRun(config: StackConfig, stack: string, root: string, io: Io) {
  const place = placeOfRun({ stack, config, root }, io);
  if (!place) {
    throw new UserError("VL_BAD_CONFIG", {
      what: `the demo needs a store, and Pulumi.${stack}.yaml has none`,
      hint: "set vastlane:checkpoint: { store: s3, s3_bucket: checkpoints }",
    });
  }
  const store = openPlace(place);
  const waitFor = <T>(what: string, find: () => Promise<T | undefined>) => until(what, find, undefined, io);
  return {
    /** The step of the newest checkpoint in the store, once there is one. */
    untilStored: () =>
      waitFor("a checkpoint in the store", async () => {
        const id = (await readHead(store)).head?.checkpoint;
        return id ? parseCheckpointId(id)?.step : undefined;
      }),
    /** The step from which the machine went on, by the training's own words. */
    resumedStep: (target: SshTarget) =>
      until(
        "a resumed step",
        async () => {
          const step = /resumed at step (\d+)/.exec(await remote(target, `cat ${OUTPUT} 2>/dev/null || true`, io))?.[1];
          return step === undefined ? undefined : Number(step);
        },
        target,
        io,
      ),
    untilClosed: (): Promise<RunRecord> =>
      waitFor("the end of the run", async () => {
        const record = await readRunRecord(store);
        return record && isClosed(record.status) ? record : undefined;
      }),
    /** The run's last checkpoint out of the store, verified; its folder below `into`. */
    async fetchFinal(into: string): Promise<string> {
      mkdirSync(into, { recursive: true });
      const restored = await restoreNewest({ store, lineage: lineage(store), dir: into, log: silent });
      if (restored) return restored.folder;
      throw new UserError("VL_NOT_FOUND", {
        what: "the run left no checkpoint",
        hint: "report this with the lines above",
      });
    },
    close: () => store.close(),
  };
}

async function until<T>(
  what: string,
  find: () => Promise<T | undefined>,
  target: SshTarget | undefined,
  io: Io,
): Promise<T> {
  const deadline = io.clock.now() + PATIENCE_MS;
  for (;;) {
    const found = await find();
    if (found !== undefined) return found;
    if (io.clock.now() > deadline) {
      throw new UserError("VL_NOT_READY", {
        what: `the demo waited ${PATIENCE_MS / 1000} s for ${what}`,
        ...(target && { why: await remote(target, `tail -n 5 ${OUTPUT} 2>&1 || true`, io) }),
        hint: "run the demo again; if it persists, report it with these lines",
      });
    }
    await io.clock.sleep(100, io.signal);
  }
}
