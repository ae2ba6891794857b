import { expect, test } from "vitest";
import { controlFiles, runFile } from "../../../../infra/deploy/control-files.ts";
import type { PushRequest, RunSpec } from "../../../../infra/deploy/request.ts";

const run: RunSpec = {
  runId: "dev/main",
  command: ["python", "train.py"],
  cwd: ".",
  env: { NOTE: "two words" },
  params: { lr: 0.1 },
  mode: "prod",
  graceSeconds: 30,
  maxCrashes: 5,
  contractId: 7,
  maxHours: 24,
};
const request: PushRequest = {
  target: { contractId: 7, user: "root", addresses: [], hostKeys: null, identityFile: null },
  run,
  sync: ["."],
  bundles: { agent: "agent.mjs", experiment: "experiment.mjs" },
  requirements: "requirements.txt",
  setup: null,
  secretNames: ["HF_TOKEN"],
};
const file = (name: string, secrets = {}, changes: Partial<PushRequest> = {}) =>
  controlFiles({ ...request, ...changes }, "/workspace", "hash", secrets).find((each) => each.name === name);

test("shells get the run's variables, one per line, the values as they are", () => {
  expect(file("env")).toEqual({
    name: "env",
    mode: 0o600,
    text: `NOTE=two words
VASTLANE_WORKSPACE=/workspace
VASTLANE_RUN_ID=dev/main
VASTLANE_CONTRACT_ID=7
VASTLANE_CHECKPOINT_DIR=/workspace/persistent/checkpoints
VASTLANE_LOG_DIR=/workspace/logs
VASTLANE_PARAMS={"lr":0.1}
DEV_MODE=False
`,
  });
});

test("secrets go into a file of their own and nowhere else", () => {
  const files = controlFiles(request, "/workspace", "hash", { HF_TOKEN: "s3cr3t" });
  expect(files.filter((each) => each.text.includes("s3cr3t")).map(({ name, mode }) => [name, mode])).toEqual([
    ["secrets.env", 0o600],
  ]);
});

test("a secret with line breaks is refused with a way out, and its value is not shown", () => {
  expect(() => file("secrets.env", { HF_TOKEN: "a\nb" })).toThrow(`VL_BAD_CONFIG: the secret HF_TOKEN has line breaks
  why: the machine's environment file holds one variable per line
  do:  encode it (base64, or JSON on one line) and decode it in your code`);
});

test.each<[string, Partial<RunSpec>, string, boolean]>([
  ["other content", {}, "other", true],
  ["another command", { command: ["python", "eval.py"] }, "hash", true],
  ["other parameters", { params: { lr: 0.2 } }, "hash", true],
  ["another machine", { contractId: 8 }, "hash", false],
  ["another time limit", { maxHours: 1 }, "hash", false],
])("%s makes another job: %s", (_, change, contentHash, isOther) => {
  const job = (spec: RunSpec, hash: string) => runFile(spec, "/workspace", hash).contentHash;
  expect(job({ ...run, ...change }, contentHash) !== job(run, "hash")).toBe(isOther);
});

test("a dev box has no job, so changed code does not restart its agent", () => {
  const box = { ...run, command: null };
  expect(runFile(box, "/workspace", "a")).toEqual(runFile(box, "/workspace", "b"));
});

test("the working folder lies in the project", () => {
  expect(runFile(run, "/workspace", "h").cwd).toBe("/workspace/project");
  expect(runFile({ ...run, cwd: "src" }, "/w", "h").cwd).toBe("/w/project/src");
});

test("names from the configuration are quoted for the shell", () => {
  const text = file("install_deps.sh", {}, { requirements: "my reqs.txt", setup: "echo 'a'; $(b)" })?.text ?? "";
  expect(text).toContain("requirements='my reqs.txt'\n");
  expect(text).toContain("setup='echo '\\''a'\\''; $(b)'\n");
});
