import { describe, expect, test } from "vitest";
import {
  decideRun,
  describeRun,
  type OnChange,
  parseRunRecord,
  type RunDecision,
  type RunRecord,
  type RunStatus,
  runError,
} from "../../../common/run-record.ts";

const record: RunRecord = {
  format: 1,
  runId: "dev/train",
  status: "running",
  generation: 0,
  epoch: 3,
  codeHash: "code",
  paramsHash: "params",
  params: { lr: 0.1 },
  spentUsd: 1.5,
  startedAt: "2026-11-24T09:00:00.000Z",
  updatedAt: "2026-11-24T10:00:00.000Z",
  finishedAt: null,
  finalStep: null,
  reason: null,
  writeId: "w1",
};

const wanted = (change: { code?: OnChange; params?: OnChange } = {}) => ({
  codeHash: change.code ? "new code" : "code",
  paramsHash: change.params ? "new params" : "params",
  onCodeChange: change.code ?? "refuse",
  onParamChange: change.params ?? "refuse",
});

describe("decides by what has changed", () => {
  const open: RunStatus[] = ["running"];
  const closed: RunStatus[] = ["done", "failed", "over-budget"];
  test.each<[RunStatus[], { code?: OnChange; params?: OnChange }, RunDecision["act"]]>([
    [open, {}, "resume"],
    [closed, {}, "closed"],
    [open, { params: "refuse" }, "refuse"],
    [open, { params: "fresh" }, "fresh"],
    [open, { params: "resume" }, "resume"],
    [closed, { params: "refuse" }, "refuse"],
    [closed, { params: "fresh" }, "fresh"],
    [closed, { params: "resume" }, "resume"],
    [open, { code: "refuse" }, "refuse"],
    [open, { code: "fresh" }, "fresh"],
    [open, { code: "resume" }, "resume"],
    [closed, { code: "refuse" }, "refuse"],
    [closed, { code: "fresh" }, "fresh"],
    [["done", "over-budget"], { code: "resume" }, "closed"],
    [["failed"], { code: "resume" }, "resume"],
    [[...open, ...closed], { code: "refuse", params: "refuse" }, "refuse"],
    [[...open, ...closed], { code: "refuse", params: "fresh" }, "refuse"],
    [[...open, ...closed], { code: "refuse", params: "resume" }, "refuse"],
    [[...open, ...closed], { code: "fresh", params: "refuse" }, "refuse"],
    [[...open, ...closed], { code: "fresh", params: "fresh" }, "fresh"],
    [[...open, ...closed], { code: "fresh", params: "resume" }, "fresh"],
    [[...open, ...closed], { code: "resume", params: "refuse" }, "refuse"],
    [[...open, ...closed], { code: "resume", params: "fresh" }, "fresh"],
    [[...open, ...closed], { code: "resume", params: "resume" }, "resume"],
  ])("%j with %j: %s", (statuses, change, act) => {
    for (const status of statuses) expect(decideRun({ ...record, status }, wanted(change)).act).toBe(act);
  });

  test("settings for what has not changed have no say", () => {
    for (const rule of ["refuse", "fresh", "resume"] as const) {
      const same = { ...wanted(), onCodeChange: rule, onParamChange: rule };
      expect(decideRun(record, same).act).toBe("resume");
      expect(decideRun({ ...record, status: "done" }, same).act).toBe("closed");
    }
  });

  test("without a record it starts", () => {
    expect(decideRun(undefined, wanted({ code: "refuse", params: "refuse" })).act).toBe("start");
  });

  test("asked to start anew, it does so whatever has changed", () => {
    const asked = { ...record, status: "fresh" as const };
    for (const rule of ["refuse", "fresh", "resume"] as const) {
      expect(decideRun(asked, wanted({ code: rule, params: rule })).act).toBe("fresh");
    }
    expect(decideRun(asked, wanted()).act).toBe("fresh");
  });
});

describe("says why", () => {
  const done: RunRecord = { ...record, status: "done", finishedAt: "2026-11-24T11:00:00.000Z", finalStep: 400 };
  test.each<[string, RunRecord | undefined, Parameters<typeof wanted>[0], string]>([
    ["no record", undefined, {}, "the run has no record yet"],
    ["nothing new", record, {}, "nothing has changed"],
    ["--fresh", { ...record, status: "fresh" }, {}, "it was asked to start anew"],
    ["new code", record, { code: "resume" }, "the code has changed and onCodeChange is resume"],
    ["new parameters", record, { params: "fresh" }, "the parameters have changed and onParamChange is fresh"],
    [
      "the stricter rule",
      record,
      { code: "refuse", params: "fresh" },
      "the code has changed and onCodeChange is refuse",
    ],
    ["done", done, {}, "it is done at step 400 (2026-11-24)"],
    [
      "over budget",
      { ...record, status: "over-budget", reason: "20.00 USD of 20.00 USD are spent" },
      {},
      "it is over budget: 20.00 USD of 20.00 USD are spent",
    ],
  ])("%s", (_, before, change, why) => {
    expect(decideRun(before, wanted(change)).why).toBe(why);
  });

  test("how a run stands", () => {
    expect(describeRun(record)).toBe("it is running");
    expect(describeRun({ ...record, status: "fresh" })).toBe("it starts anew");
    expect(describeRun({ ...record, status: "failed", reason: "5 crashes" })).toBe("it has failed: 5 crashes");
  });

  test("a closed run, in full", () => {
    expect(runError("dev/train", decideRun(done, wanted()))?.message).toBe(
      [
        "VL_RUN_CLOSED: The run dev/train has ended and is not started again.",
        "  why: it is done at step 400 (2026-11-24)",
        "  do:  vastlane up --fresh starts it anew (its checkpoints stay in the store), --resume goes on from the last one",
      ].join("\n"),
    );
  });

  test("a refused run, in full", () => {
    expect(runError("dev/train", decideRun(record, wanted({ code: "refuse" })))?.message).toBe(
      [
        "VL_RUN_REFUSED: The run dev/train is not started.",
        "  why: the code has changed and onCodeChange is refuse",
        "  do:  undo the change, set it to resume or fresh in the stack's configuration, or start anew with --fresh",
      ].join("\n"),
    );
    expect(runError("dev/train", decideRun(record, wanted()))).toBeUndefined();
  });
});

describe("reads the record", () => {
  test("as it was written", () => {
    expect(parseRunRecord(JSON.stringify({ ...record, later: 1 }))).toEqual(record);
    expect(parseRunRecord(Buffer.from(JSON.stringify(record)))).toEqual(record);
  });

  test.each<[string, object, string]>([
    ["a text for a number", { spentUsd: "1" }, "spentUsd must be a number from 0"],
    ["a negative amount", { spentUsd: -1 }, "spentUsd must be a number from 0"],
    ["an unknown status", { status: "paused" }, 'status is "paused"'],
    ["no status", { status: undefined }, "status is missing"],
    ["half an epoch", { epoch: 1.5 }, "epoch must be a whole number"],
    ["no hash", { codeHash: null }, "codeHash must be a text"],
    ["a list of parameters", { params: [] }, "params must be an object"],
    ["a text for a step", { finalStep: "4" }, "finalStep must be a whole number or null"],
    ["no format", { format: undefined }, "it has no format"],
  ])("refuses %s", (_, change, why) => {
    expect(() => parseRunRecord(JSON.stringify({ ...record, ...change }))).toThrow(
      expect.objectContaining({ code: "VL_CHECKPOINT_BAD", why }),
    );
  });

  test("refuses what is no object", () => {
    expect(() => parseRunRecord("{ half")).toThrow(expect.objectContaining({ why: "it is not JSON" }));
    expect(() => parseRunRecord("[]")).toThrow(expect.objectContaining({ why: "it is not an object" }));
  });

  test("refuses a newer one, in full", () => {
    expect(() => parseRunRecord(JSON.stringify({ format: 2, status: 7 }))).toThrow(
      [
        "VL_CHECKPOINT_BAD: run.json was written by a newer vastlane.",
        "  why: its format is 2; this vastlane knows 1",
        "  do:  update vastlane here, or start under another run id; nothing was overwritten",
      ].join("\n"),
    );
  });
});
