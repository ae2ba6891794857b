/** What a run's record means for the stack's machines. The table of decisions itself: common/run-record. */
import { expect, test } from "vitest";
import type { RunRecord } from "../../../common/run-record.ts";
import { planOf } from "../../../infra/run.ts";

const record: RunRecord = {
  format: 1,
  runId: "dev/train",
  status: "done",
  generation: 2,
  epoch: 3,
  codeHash: "c",
  paramsHash: "p",
  params: {},
  spentUsd: 1,
  startedAt: "2026-11-24T08:00:00.000Z",
  updatedAt: "2026-11-24T09:00:00.000Z",
  finishedAt: "2026-11-24T09:00:00.000Z",
  finalStep: 400,
  reason: null,
  writeId: "w",
};
const plan = (
  act: "start" | "resume" | "fresh" | "closed" | "refuse",
  why: string,
  of: RunRecord | undefined = record,
) => planOf("dev/train", "dev", of, { act, why });

test("an ended run rents nothing, and says how to go on", () => {
  expect(plan("closed", "it is done at step 400 (2026-11-24)")).toEqual({
    runId: "dev/train",
    act: "closed",
    isClosed: true,
    generation: 2,
    status: "it is done at step 400 (2026-11-24)",
    text: "run dev/train is not rented again: it is done at step 400 (2026-11-24). Anew: vastlane up --fresh --stack dev; to go on from its last checkpoint: --resume",
  });
});

test("a fresh start is the next generation, so that it is deployed once more and then no more", () => {
  expect(plan("fresh", "the parameters have changed and onParamChange is fresh")).toMatchObject({
    isClosed: false,
    generation: 3,
    status: "it starts anew",
    text: "run dev/train starts anew: the parameters have changed and onParamChange is fresh. Its checkpoints stay in the store",
  });
});

test("a first start, and a run that goes on as it was, need no words", () => {
  expect(planOf("dev/train", "dev", undefined, { act: "start", why: "the run has no record yet" })).toMatchObject({
    generation: 0,
    text: undefined,
    status: "it has not started yet",
  });
  expect(plan("resume", "nothing has changed", { ...record, status: "running" })).toMatchObject({
    text: undefined,
    status: "it is running",
  });
});

test("a run that goes on with other code says so", () => {
  expect(plan("resume", "the code has changed and onCodeChange is resume").text).toBe(
    "run dev/train goes on: the code has changed and onCodeChange is resume",
  );
});

test("a change that is refused is an error with its ways out", () => {
  expect(() => plan("refuse", "the code has changed and onCodeChange is refuse")).toThrow(
    /^VL_RUN_REFUSED: The run dev\/train is not started\.\n {2}why: the code has changed and onCodeChange is refuse\n/,
  );
});
