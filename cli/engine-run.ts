/**
 * One run of the Pulumi engine as our child: its events read, our own progress lines passed on while it runs, and
 * Ctrl-C turned into the cancel marker that the provider's wait loops see.
 */
import { spawn } from "node:child_process";
import {
  closeSync,
  existsSync,
  fstatSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Io } from "./command.ts";

export interface EngineRun {
  /** The `pulumi` program. */
  program: string;
  args: string[];
  env: Record<string, string>;
  cwd: string;
  /** The operation log that provider and deploy append to; its new lines are progress. */
  logFile: string;
  io: Io;
  onProgress(line: string): void;
}

export interface EngineResult {
  code: number;
  /** Messages of severity error, as the engine shows them. */
  errors: string[];
  warnings: string[];
  /** Messages of severity info: what the program itself says (the preview's prices). */
  infos: string[];
  /** How many resources were created, updated, replaced, deleted or left the same. */
  changes: Record<string, number>;
  /** Everything the engine printed, for the case that it failed before its first event. */
  output: string;
  hasPendingOperations: boolean;
  isInterrupted: boolean;
}

/** After Ctrl-C: how long the engine may take to record what was rented, before it is killed. */
const CANCEL_PATIENCE_MS = 45_000;

export async function runEngine(run: EngineRun): Promise<EngineResult> {
  const folder = mkdtempSync(join(tmpdir(), "vastlane-run-"));
  const eventFile = join(folder, "events");
  try {
    const flags = ["--event-log", eventFile, "--non-interactive", "--color", "never", "--suppress-outputs"];
    const env = { ...run.env, PULUMI_DEBUG_COMMANDS: "true" };
    const child = await runChild({ ...run, args: [...run.args, ...flags], env });
    return { ...readEvents(eventFile), ...child };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

export type ChildResult = Pick<EngineResult, "code" | "output" | "isInterrupted">;

/** Runs a program that writes the operation's log: passes its lines on, and turns Ctrl-C into the cancel marker. */
export async function runChild(run: EngineRun): Promise<ChildResult> {
  const folder = mkdtempSync(join(tmpdir(), "vastlane-run-"));
  const cancelFile = join(folder, "cancel");
  const follower = followFile(run.logFile, run.onProgress);
  try {
    const child = spawn(run.program, run.args, {
      cwd: run.cwd,
      env: { ...run.env, VASTLANE_CANCEL_FILE: cancelFile, VASTLANE_OPERATION_LOG: run.logFile },
      // A process group of its own: the terminal's Ctrl-C reaches us alone, and we decide what it means.
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
    });
    const output: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => output.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => output.push(chunk));
    let isInterrupted = false;
    let killer: NodeJS.Timeout | undefined;
    const cancel = () => {
      isInterrupted = true;
      run.onProgress("Ctrl-C: starting nothing more, recording what is rented (again to leave at once)");
      writeFileSync(cancelFile, "");
      child.kill("SIGINT");
      killer = setTimeout(() => child.kill("SIGKILL"), CANCEL_PATIENCE_MS);
    };
    run.io.signal.addEventListener("abort", cancel, { once: true });
    const code = await new Promise<number>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (status) => resolve(status ?? 1));
    });
    clearTimeout(killer);
    run.io.signal.removeEventListener("abort", cancel);
    return { code, output: Buffer.concat(output).toString(), isInterrupted };
  } finally {
    follower.finish();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Calls `onLine` for each line appended to the file from now on; the file may not exist yet. */
function followFile(path: string, onLine: (line: string) => void): { finish(): void } {
  let position = existsSync(path) ? statSync(path).size : 0;
  let rest = "";
  const look = () => {
    if (!existsSync(path)) return;
    const file = openSync(path, "r");
    try {
      const size = fstatSync(file).size;
      if (size <= position) return;
      const chunk = Buffer.alloc(size - position);
      position += readSync(file, chunk, 0, chunk.length, position);
      const lines = (rest + chunk.toString()).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) onLine(line.replace(/^\S+ /, "")); // without the time
    } finally {
      closeSync(file);
    }
  };
  const timer = setInterval(look, 100);
  return {
    finish() {
      clearInterval(timer);
      look();
    },
  };
}

interface EngineEvent {
  diagnosticEvent?: { message: string; severity: string };
  summaryEvent?: { resourceChanges?: Record<string, number> };
}

function readEvents(path: string): Omit<EngineResult, "code" | "output" | "isInterrupted"> {
  const result = {
    errors: [] as string[],
    warnings: [] as string[],
    infos: [] as string[],
    changes: {} as Record<string, number>,
    hasPendingOperations: false,
  };
  const into: Record<string, string[]> = { error: result.errors, warning: result.warnings, info: result.infos };
  for (const line of existsSync(path) ? readFileSync(path, "utf8").split("\n") : []) {
    if (!line) continue;
    let event: EngineEvent;
    try {
      event = JSON.parse(line);
    } catch {
      continue; // a half line: the engine was killed while writing
    }
    if (event.summaryEvent) Object.assign(result.changes, event.summaryEvent.resourceChanges);
    const { message = "", severity = "" } = event.diagnosticEvent ?? {};
    if (/pending operations? from previous deployment/.test(message)) result.hasPendingOperations = true;
    else into[severity]?.push(message.trim());
  }
  return result;
}
