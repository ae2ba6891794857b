/** The same training with nothing that interrupts it: a plain process on this computer, with no market and no agent. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { UserError } from "../../common/errors.ts";
import type { StackConfig } from "../../infra/config.ts";
import { newestCheckpoint } from "../../runtime/checkpoint/index.ts";

export interface Reference {
  /** Folder of its last checkpoint. @throws UserError when it failed */
  finished(): Promise<string>;
  end(): void;
}

/** `folder` is its own; nothing else of the project is written. */
export function startReference(root: string, folder: string, config: StackConfig): Reference {
  const [program = "node", ...args] = config.experiment.command ?? [];
  const checkpoints = join(folder, "checkpoints");
  mkdirSync(checkpoints, { recursive: true });
  const child = spawn(program === "node" ? process.execPath : program, args, {
    cwd: root,
    env: {
      ...process.env,
      ...config.experiment.env,
      VASTLANE_RUN_ID: "reference",
      VASTLANE_CHECKPOINT_DIR: checkpoints,
      VASTLANE_LOG_DIR: join(folder, "logs"),
      VASTLANE_PARAMS: JSON.stringify(config.experiment.params),
      VASTLANE_CHECKPOINT_EVERY_STEPS: String(config.checkpoint.everySteps),
      VASTLANE_CHECKPOINT_EVERY_SECONDS: String(config.checkpoint.everySeconds),
      DEV_MODE: config.mode === "dev" ? "True" : "False",
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const output: string[] = [];
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => output.push(String(chunk)));
  const ended = endOf(child);
  return {
    async finished() {
      const code = await ended;
      const last = newestCheckpoint(checkpoints);
      if (code === 0 && last !== undefined) return last;
      throw new UserError("VL_NOT_READY", {
        what: "the uninterrupted run, to which the demo compares, did not finish",
        why: output.join("").trim().split("\n").slice(-5).join("\n"),
        hint: "run the demo again; if it persists, report it with these lines",
      });
    },
    end: () => void child.kill("SIGKILL"),
  };
}

function endOf(child: ChildProcess): Promise<number> {
  return new Promise((resolve) => {
    child.once("error", () => resolve(127));
    child.once("close", (code) => resolve(code ?? 1));
  });
}
