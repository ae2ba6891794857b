import { describe, expect, test } from "vitest";
import { continueRecord, deadlineOf, type RunRecord } from "../../../../runtime/agent/record.ts";
import { parseRun } from "../../../../runtime/agent/run-file.ts";

const run = (fields: object = {}) => parseRun({ runId: "dev/gpt", contentHash: "h1", ...fields }, "/w");
const now = { seconds: 500, metricsBytes: 77, retryFailed: false };
const past: RunRecord = {
  runId: "dev/gpt",
  contentHash: "h1",
  firstStartedAt: 100,
  metricsFrom: 0,
  outcome: "done",
  exitCode: 0,
};

describe("what is remembered", () => {
  test("a first start begins a record at the end of what earlier runs have logged", () => {
    const fresh = { firstStartedAt: 500, metricsFrom: 77, outcome: null, exitCode: null };
    expect(continueRecord(undefined, run(), now)).toMatchObject(fresh);
    expect(continueRecord({ ...past, runId: "dev/other" }, run(), now)).toMatchObject({ runId: "dev/gpt", ...fresh });
  });

  test("a finished run of the same content stays finished, whoever asks", () => {
    expect(continueRecord(past, run(), now)).toEqual(past);
    expect(continueRecord(past, run(), { ...now, retryFailed: true })).toEqual(past);
  });

  test("other content is a new job, on the same clock", () => {
    const next = continueRecord(past, run({ contentHash: "h2" }), now);
    expect(next).toEqual({ ...past, contentHash: "h2", outcome: null, exitCode: null });
  });

  test("a failed run stays failed over a machine start, and gets another try by a redeploy", () => {
    const failed: RunRecord = { ...past, outcome: "failed", exitCode: 1 };
    expect(continueRecord(failed, run(), now)).toEqual(failed);
    expect(continueRecord(failed, run(), { ...now, retryFailed: true })).toMatchObject({
      outcome: null,
      firstStartedAt: 100,
    });
  });
});

describe("the deadline", () => {
  test("leaves time to save before the watchdog destroys the machine", () => {
    expect(deadlineOf(run({ maxHours: 24, graceSeconds: 60 }), 1000)).toBe(1000 + 24 * 3600 - 90);
  });
  test("of a short run is nine tenths of it", () => {
    expect(deadlineOf(run({ maxHours: 0.01, graceSeconds: 60 }), 1000)).toBe(1000 + 36 - 3.6);
  });
  test("is none without a limit", () => {
    expect(deadlineOf(run({ maxHours: null }), 1000)).toBeUndefined();
  });
});
