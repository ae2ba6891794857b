import { expect, test } from "vitest";
import { parseEnvFile, parseRun, readRun } from "../../../../runtime/agent/run-file.ts";

test("fills in what deploy left out", () => {
  expect(parseRun({ runId: "s/e" }, "/w/project")).toEqual({
    runId: "s/e",
    contentHash: "",
    command: null,
    cwd: "/w/project",
    env: {},
    params: {},
    mode: "dev",
    graceSeconds: 30,
    maxCrashes: 5,
    maxHours: null,
    codeHash: "",
    paramsHash: "",
    onCodeChange: "resume",
    onParamChange: "fresh",
    checkpoint: {
      everySteps: 200,
      everySeconds: "auto",
      keepLast: 3,
      keepRemote: null,
      keepEvery: null,
      keepBest: null,
    },
    idleMinutes: 30,
    onDone: "stop",
    contractId: null,
  });
});

test("takes what is there, numbers in the environment as text, and ignores what it does not know", () => {
  const run = parseRun(
    { runId: "s/e", command: ["a"], env: { N: 1 }, mode: "prod", graceSeconds: 0, maxHours: 2, later: true },
    "/w",
  );
  expect(run).toMatchObject({ command: ["a"], env: { N: "1" }, mode: "prod", graceSeconds: 0, maxHours: 2 });
});

test.each([
  [{ runId: "s/e", command: "python train.py" }, "command must be null or a list of texts, program first"],
  [{ runId: "s/e", command: [] }, "command must be null or a list of texts, program first"],
  [{ command: null }, "runId must be a text"],
  [[], "runId must be a text"],
  [null, "it is not an object"],
])("refuses %j", (json, message) => {
  expect(() => parseRun(json, "/w")).toThrow(message);
});

test("no file is no run, and no problem", () => {
  expect(readRun("/no/such/run.json", "/w")).toEqual({ run: undefined, problem: undefined });
});

test("reads K=V lines as they are", () => {
  expect(parseEnvFile("# comment\nA=b=c \n\nB=\n9=x\nno equals\n")).toEqual({ A: "b=c ", B: "" });
});
