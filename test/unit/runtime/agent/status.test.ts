import { expect, test } from "vitest";
import { parseRun } from "../../../../runtime/agent/run-file.ts";
import { type Facts, heartbeatOf, leaseHeartbeatOf } from "../../../../runtime/agent/status.ts";
import { testTimes } from "../../../../runtime/agent/test-times.ts";

const facts: Facts = {
  now: 1_790_000_000.5,
  startedAt: 1_789_999_000,
  pid: 41,
  state: "finishing",
  run: parseRun({ runId: "s/run", contentHash: "h" }, "/w"),
  childPid: 42,
  starts: 3,
  exitCode: 1,
  metric: { step: 120, loss: 0.5, values: { step: 120, loss: 0.5 } },
  stepsPerSecond: 4.5,
  checkpoint: "step-00000100",
  store: { checkpoint: "step-00000080.e00002", step: 80, epoch: 2, spentUsd: 1.25 },
  pricePerHour: 0.36,
  idleSeconds: null,
  gpuUtil: 97,
  warnings: [null, "the store is away", undefined, "the disk is nearly full"],
};

test("the disk's heartbeat says what runs, how far, and what is in the store", () => {
  expect(heartbeatOf(facts)).toEqual({
    time: 1_790_000_000.5,
    pid: 41,
    state: "running",
    childPid: 42,
    restarts: 2,
    exitCode: 1,
    step: 120,
    loss: 0.5,
    startedAt: 1_789_999_000,
    runId: "s/run",
    contentHash: "h",
    checkpoint: "step-00000100",
    stored: "step-00000080.e00002",
    epoch: 2,
    warning: "the store is away; the disk is nearly full",
  });
});

test("the lease's heartbeat says the same to everybody, with rate and cost", () => {
  expect(leaseHeartbeatOf(facts)).toEqual({
    time: "2026-09-21T14:13:20.500Z",
    state: "running",
    step: 120,
    loss: 0.5,
    stepsPerSecond: 4.5,
    checkpoint: "step-00000080.e00002",
    uploadedStep: 80,
    costUsd: 1.25,
    pricePerHour: 0.36,
    restarts: 2,
    exitCode: 1,
    warning: "the store is away; the disk is nearly full",
    idleSeconds: null,
    gpuUtil: 97,
  });
});

test("without run, store, command and metrics there is nothing to say but that the agent lives", () => {
  const { run: _, childPid: __, metric: ___, checkpoint: ____, store: _____, ...rest } = facts;
  const none = { run: undefined, childPid: undefined, metric: undefined, checkpoint: undefined, store: undefined };
  const beat = heartbeatOf({ ...rest, ...none, state: "idle", starts: 0, exitCode: null, warnings: [] });
  expect(beat).toMatchObject({ state: "idle", runId: null, childPid: null, step: null, stored: null, warning: null });
  expect(beat.restarts).toBe(0);
});

test("times are only shortened where the environment asks for it", () => {
  expect(testTimes({})).toEqual({});
  expect(testTimes({ VASTLANE_LEASE_TTL_SECONDS: "no", VASTLANE_IDLE_SECONDS: "0" })).toEqual({});
  expect(testTimes({ VASTLANE_LEASE_TTL_SECONDS: "3" })).toEqual({ ttlSeconds: 3, renewMs: 999, pollMs: 399 });
});
