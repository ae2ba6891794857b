import { expect, test } from "vitest";
import { controlFiles, runFile, runHashes } from "../../../../infra/deploy/control-files.ts";
import type { PushRequest, RunSpec } from "../../../../infra/deploy/request.ts";
import { runSpec } from "../../../helpers/run-spec.ts";

const run = runSpec({
  runId: "dev/main",
  command: ["python", "train.py"],
  env: { NOTE: "two words" },
  params: { lr: 0.1 },
  mode: "prod",
  contractId: 7,
  maxHours: 24,
});
const request: PushRequest = {
  target: { contractId: 7, user: "root", addresses: [], hostKeys: null, identityFile: null },
  run,
  sync: ["."],
  bundles: { agent: "agent.mjs", modules: { trainer: "trainer.mjs", experiment: "experiment.mjs" } },
  requirements: "requirements.txt",
  setup: null,
  secretNames: ["HF_TOKEN"],
  store: null,
  pricePerHour: 0.312,
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
VASTLANE_CHECKPOINT_EVERY_STEPS=200
VASTLANE_CHECKPOINT_EVERY_SECONDS=auto
VASTLANE_KEEP_LAST=3
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

test("the public modules make a package of exactly those that were built", () => {
  const text = file("install_deps.sh")?.text ?? "";
  expect(text).toContain("for module in experiment trainer; do");
  const exports = { "./experiment": "./experiment.mjs", "./trainer": "./trainer.mjs" };
  expect(text).toContain(`'${JSON.stringify({ name: "vastlane", type: "module", exports })}'`);
});

test("the price lies beside run.json, so that a new one is no other run", () => {
  expect(file("price")?.text).toBe("0.312\n");
  expect(file("run.json", {}, { pricePerHour: 9 })).toEqual(file("run.json"));
});

test("an interval in the run's own environment wins over the stack's", () => {
  const own = runSpec({ env: { VASTLANE_CHECKPOINT_EVERY_STEPS: "7", VASTLANE_KEEP_LAST: "1" } });
  const lines = file("env", {}, { run: own })?.text.split("\n") ?? [];
  expect(lines.filter((line) => /^VASTLANE_(CHECKPOINT_EVERY_STEPS|KEEP_LAST)=/.test(line))).toEqual([
    "VASTLANE_CHECKPOINT_EVERY_STEPS=7",
    "VASTLANE_KEEP_LAST=1",
  ]);
});

test.each<[string, Partial<RunSpec>, string, "code" | "params" | "neither"]>([
  ["another file", {}, "other", "code"],
  ["another command", { command: ["python", "eval.py"] }, "hash", "params"],
  ["another parameter", { params: { lr: 0.2 } }, "hash", "params"],
  ["another variable", { env: {} }, "hash", "params"],
  ["another mode", { mode: "dev" }, "hash", "params"],
  ["another limit", { maxHours: 1, generation: 3 }, "hash", "neither"],
])("%s changes the hash of the %s", (_, changes, contentHash, which) => {
  const before = runHashes(run, "hash");
  const after = runHashes({ ...run, ...changes }, contentHash);
  expect(after.codeHash !== before.codeHash).toBe(which === "code");
  expect(after.paramsHash !== before.paramsHash).toBe(which === "params");
});

test("parameters in another order are the same parameters", () => {
  const hashOf = (params: Record<string, unknown>) => runHashes({ ...run, params }, "hash").paramsHash;
  expect(hashOf({ a: 1, b: { c: 2, d: 3 } })).toBe(hashOf({ b: { d: 3, c: 2 }, a: 1 }));
});

test("a dev box has no code and no parameters that could change", () => {
  expect(runHashes({ ...run, command: null }, "x")).toEqual({ codeHash: "", paramsHash: "" });
});
