/** What carries the demo out: the real Pulumi engine, or, where none can be had, the same program in one Node process. */
import { join } from "node:path";
import { hasCode, UserError } from "../common/errors.ts";
import { operationLog } from "../infra/vast/handler-context.ts";
import type { Io } from "./command.ts";
import { runChild } from "./engine-run.ts";
import { bringUp, openOperation, operate } from "./operation.ts";

export interface DemoEngine {
  /** `pulumi 3.259.0`, or that there is none. */
  name: string;
  /** What the demo says first when there is no engine. */
  warning: string | null;
  up(onProgress: (line: string) => void): Promise<void>;
  destroy(onProgress: (line: string) => void): Promise<void>;
}

export async function demoEngine(stack: string, root: string, stateDir: string, io: Io): Promise<DemoEngine> {
  try {
    const operation = await openOperation(stack, io);
    return {
      name: `pulumi ${operation.engine.version}`,
      warning: null,
      up: async (onProgress) => void (await bringUp(operation, onProgress)),
      destroy: async (onProgress) =>
        void (await operate(operation, ["destroy", "--yes", "--skip-preview"], onProgress)),
    };
  } catch (error) {
    if (!hasCode(error, "VL_ENGINE_MISSING")) throw error;
    const run = (verb: string) => (onProgress: (line: string) => void) =>
      inProcess(verb, { stack, root, stateDir, io, onProgress });
    return {
      name: "none (in process)",
      warning:
        "There is no Pulumi engine on this computer and none could be fetched: the same program and providers run inside one Node process.",
      up: run("up"),
      destroy: run("destroy"),
    };
  }
}

async function inProcess(
  verb: string,
  of: { stack: string; root: string; stateDir: string; io: Io; onProgress(line: string): void },
): Promise<void> {
  const script = join(import.meta.dirname, "in-process.ts");
  const { code, output } = await runChild({
    program: process.execPath,
    args: [script, verb, of.stack, join(of.stateDir, "in-process.json")],
    env: process.env as Record<string, string>,
    cwd: join(of.root, "infra"),
    logFile: operationLog(of.stateDir, of.stack),
    io: of.io,
    onProgress: of.onProgress,
  });
  if (code === 0) return;
  throw new UserError("VL_PULUMI_FAILED", {
    what: `${verb} failed`,
    why: output.trim().split("\n").slice(-15).join("\n"),
  });
}
