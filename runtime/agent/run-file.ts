/** Reads what deploy wrote: run.json (what to run) and secrets.env (K=V lines). */
import { readFileIfThere } from "../../common/files.ts";
import type { OnChange } from "../../common/run-record.ts";
import type { CheckpointSettings, RunSettings } from "../../common/run-settings.ts";

export interface Run extends RunSettings {
  /** Hash of everything that was deployed; a finished run with another hash is a new job. */
  contentHash: string;
  /** What the run record compares. */
  codeHash: string;
  paramsHash: string;
  /** The market's number of this machine; null without a market. */
  contractId: number | null;
}

/** The run, nothing (no file yet: an idle machine), or what is wrong with the file, for people. */
export function readRun(path: string, fallbackCwd: string): { run: Run | undefined; problem: string | undefined } {
  try {
    const text = readFileIfThere(path);
    if (text === undefined) return { run: undefined, problem: undefined };
    return { run: parseRun(JSON.parse(text), fallbackCwd), problem: undefined };
  } catch (error) {
    return { run: undefined, problem: `run.json cannot be used: ${(error as Error).message}` };
  }
}

/** @throws Error that names the field. Unknown fields are ignored: a newer deploy may write more. */
export function parseRun(json: unknown, fallbackCwd: string): Run {
  if (typeof json !== "object" || json === null) throw new Error("it is not an object");
  const fields = json as Record<string, unknown>;
  const command = fields.command ?? null;
  if (command !== null && !(isTexts(command) && command.length > 0)) {
    throw new Error("command must be null or a list of texts, program first");
  }
  return {
    runId: typeof fields.runId === "string" && fields.runId ? fields.runId : fail("runId must be a text"),
    contentHash: textOf(fields.contentHash),
    command,
    cwd: typeof fields.cwd === "string" ? fields.cwd : fallbackCwd,
    env: textsOf(fields.env),
    params: isRecord(fields.params) ? fields.params : {},
    mode: fields.mode === "prod" ? "prod" : "dev",
    graceSeconds: numberOf(fields.graceSeconds, 30),
    maxCrashes: numberOf(fields.maxCrashes, 5),
    maxHours: orNull(fields.maxHours),
    codeHash: textOf(fields.codeHash),
    paramsHash: textOf(fields.paramsHash),
    onCodeChange: onChangeOf(fields.onCodeChange, "resume"),
    onParamChange: onChangeOf(fields.onParamChange, "fresh"),
    checkpoint: checkpointOf(isRecord(fields.checkpoint) ? fields.checkpoint : {}),
    idleMinutes: numberOf(fields.idleMinutes, 30),
    onDone: fields.onDone === "destroy" ? "destroy" : "stop",
    contractId: orNull(fields.contractId),
  };
}

/** K=V lines; blank lines and lines that begin with # are skipped, a value may hold `=` and is taken as it is. */
export function parseEnvFile(text: string): Record<string, string> {
  const env: Record<string, string> = {};
  for (const line of text.split("\n")) {
    const match = /^([A-Za-z_][A-Za-z0-9_]*)=(.*)$/.exec(line);
    if (match?.[1]) env[match[1]] = match[2] ?? "";
  }
  return env;
}

function checkpointOf(fields: Record<string, unknown>): CheckpointSettings {
  return {
    everySteps: numberOf(fields.everySteps, 200),
    everySeconds: typeof fields.everySeconds === "number" ? fields.everySeconds : "auto",
    keepLast: numberOf(fields.keepLast, 3),
    keepRemote: orNull(fields.keepRemote),
    keepEvery: orNull(fields.keepEvery),
    keepBest: orNull(fields.keepBest),
  };
}

function onChangeOf(value: unknown, standard: OnChange): OnChange {
  return value === "resume" || value === "fresh" || value === "refuse" ? value : standard;
}

const textOf = (value: unknown) => (typeof value === "string" ? value : "");
const orNull = (value: unknown) => (typeof value === "number" ? value : null);

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === "string");
}

function textsOf(value: unknown): Record<string, string> {
  if (!isRecord(value)) return {};
  return Object.fromEntries(Object.entries(value).map(([name, text]) => [name, String(text)]));
}

function numberOf(value: unknown, standard: number): number {
  return typeof value === "number" && value >= 0 ? value : standard;
}

function fail(message: string): never {
  throw new Error(message);
}
