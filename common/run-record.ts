/**
 * The run record (run.json in the store): how a run stands, and what that means for somebody who wants to run it.
 * It outranks the market: a run that is closed is not rented again as it is. Pure; the Pulumi program and the agent
 * decide by the same table.
 */
import { UserError } from "./errors.ts";
import { readStored, STORED_FORMAT } from "./stored-json.ts";

/** Key of the record below the run's prefix. */
export const RUN_RECORD_KEY = "run.json";

/** "fresh": asked to start anew (`--fresh`); the next agent does it and sets "running". */
export const RUN_STATUSES = ["running", "done", "failed", "over-budget", "fresh"] as const;
export type RunStatus = (typeof RUN_STATUSES)[number];

export interface RunRecord {
  format: 1;
  runId: string;
  status: RunStatus;
  /** Fresh starts so far. */
  generation: number;
  /** Of the lease under which it was last written; an agent of an older epoch writes it no more. */
  epoch: number;
  /** Of the project's files, without command and parameters. */
  codeHash: string;
  /** Of command, parameters, mode and environment. */
  paramsHash: string;
  params: Record<string, unknown>;
  /** Over all machines of this generation. */
  spentUsd: number;
  /** ISO times. */
  startedAt: string;
  updatedAt: string;
  finishedAt: string | null;
  finalStep: number | null;
  /** Why it was closed, for people. */
  reason: string | null;
  /** Random at each write: tells our own write from another's when a reply was lost. */
  writeId: string;
}

export type OnChange = "resume" | "fresh" | "refuse";

export interface WantedRun {
  codeHash: string;
  paramsHash: string;
  onCodeChange: OnChange;
  onParamChange: OnChange;
}

export interface RunDecision {
  /** start: no record yet · resume: go on · fresh: start anew · closed: has ended · refuse: changed, and config refuses. */
  act: "start" | "resume" | "fresh" | "closed" | "refuse";
  /** For people, without a full stop. */
  why: string;
}

export function isClosed(status: RunStatus): boolean {
  return status === "done" || status === "failed" || status === "over-budget";
}

/**
 * What to do about the run. Where both code and parameters have changed, the stricter of the two settings holds.
 * Changed parameters reopen a closed run, as they ask for something that was not done yet; changed code reopens one that
 * has failed, as that is how a failure is mended.
 */
export function decideRun(record: RunRecord | undefined, wanted: WantedRun): RunDecision {
  if (!record) return { act: "start", why: "the run has no record yet" };
  if (record.status === "fresh") return { act: "fresh", why: "it was asked to start anew" };
  const isCodeNew = record.codeHash !== wanted.codeHash;
  const areParamsNew = record.paramsHash !== wanted.paramsHash;
  const rules: { setting: string; rule: OnChange; changed: string }[] = [];
  if (areParamsNew)
    rules.push({ setting: "onParamChange", rule: wanted.onParamChange, changed: "the parameters have" });
  if (isCodeNew) rules.push({ setting: "onCodeChange", rule: wanted.onCodeChange, changed: "the code has" });
  for (const act of ["refuse", "fresh"] as const) {
    const found = rules.find(({ rule }) => rule === act);
    if (found) return { act, why: `${found.changed} changed and ${found.setting} is ${act}` };
  }
  const isReopened = areParamsNew || (isCodeNew && record.status === "failed");
  if (isClosed(record.status) && !isReopened) return { act: "closed", why: ended(record) };
  const changed = rules.map((rule) => `${rule.changed} changed and ${rule.setting} is resume`);
  return { act: "resume", why: changed.join("; ") || "nothing has changed" };
}

/** How the run stands, in a few words: `done at step 400 (2026-11-24)`, `over budget: ...`. */
export function describeRun(record: RunRecord): string {
  if (record.status === "running") return "it is running";
  if (record.status === "fresh") return "it starts anew";
  return ended(record);
}

/** What people read when the decision is that nothing is rented or started; undefined for all other decisions. */
export function runError(runId: string, decision: RunDecision): UserError | undefined {
  if (decision.act === "closed") {
    return new UserError("VL_RUN_CLOSED", {
      what: `The run ${runId} has ended and is not started again.`,
      why: decision.why,
      hint: "vastlane up --fresh starts it anew (its checkpoints stay in the store), --resume goes on from the last one",
    });
  }
  if (decision.act === "refuse") {
    return new UserError("VL_RUN_REFUSED", {
      what: `The run ${runId} is not started.`,
      why: decision.why,
      hint: "undo the change, set it to resume or fresh in the stack's configuration, or start anew with --fresh",
    });
  }
  return undefined;
}

/** @throws UserError VL_CHECKPOINT_BAD when it is damaged or of a newer vastlane */
export function parseRunRecord(text: string | Uint8Array): RunRecord {
  const stored = readStored(RUN_RECORD_KEY, text);
  if ("damaged" in stored) throw damagedRecord(stored.damaged);
  const { fields } = stored;
  const status = RUN_STATUSES.find((known) => known === fields.status);
  if (!status) throw damagedRecord(`status is ${JSON.stringify(fields.status) ?? "missing"}`);
  const take = <T>(name: string, is: (value: unknown) => value is T, what: string): T => {
    const value = fields[name];
    if (is(value)) return value;
    throw damagedRecord(`${name} must be ${what}`);
  };
  return {
    format: STORED_FORMAT,
    runId: take("runId", isText, "a text"),
    status,
    generation: take("generation", isCount, "a whole number"),
    epoch: take("epoch", isCount, "a whole number"),
    codeHash: take("codeHash", isText, "a text"),
    paramsHash: take("paramsHash", isText, "a text"),
    params: take("params", isObject, "an object"),
    spentUsd: take("spentUsd", isAmount, "a number from 0"),
    startedAt: take("startedAt", isText, "a text"),
    updatedAt: take("updatedAt", isText, "a text"),
    finishedAt: take("finishedAt", orNull(isText), "a text or null"),
    finalStep: take("finalStep", orNull(isCount), "a whole number or null"),
    reason: take("reason", orNull(isText), "a text or null"),
    writeId: take("writeId", isText, "a text"),
  };
}

function ended(record: RunRecord): string {
  const words = { "over-budget": "it is over budget", failed: "it has failed" } as Partial<Record<RunStatus, string>>;
  const step = record.finalStep === null ? "" : ` at step ${record.finalStep}`;
  const when = record.finishedAt === null ? "" : ` (${record.finishedAt.slice(0, 10)})`;
  return `${words[record.status] ?? "it is done"}${step}${when}${record.reason ? `: ${record.reason}` : ""}`;
}

function damagedRecord(why: string): UserError {
  return new UserError("VL_CHECKPOINT_BAD", {
    what: "The run's record (run.json in the store) is damaged.",
    why,
    hint: "start anew with --fresh, which writes a new one; checkpoints stay in the store",
  });
}

const isText = (value: unknown): value is string => typeof value === "string";
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isAmount = (value: unknown): value is number => typeof value === "number" && Number.isFinite(value) && value >= 0;
const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const orNull =
  <T>(is: (value: unknown) => value is T) =>
  (value: unknown): value is T | null =>
    value === null || is(value);
