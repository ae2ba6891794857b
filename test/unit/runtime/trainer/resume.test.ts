import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { CheckpointManager } from "../../../../runtime/checkpoint/index.ts";
import { findResumable, type Search } from "../../../../runtime/trainer/resume.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "vl-resume-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

function save(step: number, state: object = {}, experiment = "gpt"): Promise<string> {
  const tensors = { "params/w": { dtype: "F32" as const, shape: [2], data: Float32Array.of(step, 1) } };
  const progress = { format: 1, step, params: { width: 8, steps: 100 }, ...state };
  return new CheckpointManager({ localDir: dir, experiment, keepLast: 9, env: {} }).save({
    step,
    tensors,
    state: progress,
  });
}

function find(search: Partial<Search> = {}) {
  const said: string[] = [];
  const all = { dir, wanted: undefined, experiment: "gpt", params: { width: 8, steps: 100 }, mayChange: [], ...search };
  return { said, found: findResumable({ ...all, log: (line) => said.push(line) }) };
}

function spoil(path: string, change: (text: string) => string): void {
  writeFileSync(path, change(readFileSync(path, "latin1")), "latin1");
}

test("takes the newest, and nothing where there is nothing", async () => {
  expect(await find().found).toBeUndefined();
  await save(10);
  const newest = await save(20);
  expect(await find().found).toMatchObject({ folder: newest, progress: { step: 20 } });
});

test.each<[string, (folder: string) => void, RegExp]>([
  ["a changed byte", (f) => spoil(join(f, "tensors.safetensors"), (t) => `${t.slice(0, -1)}\x01`), /other content/],
  ["a cut file", (f) => spoil(join(f, "state.json"), (t) => t.slice(0, 9)), /state\.json has 9 bytes instead of/],
  ["a missing file", (f) => rmSync(join(f, "tensors.safetensors")), /tensors\.safetensors is missing/],
  ["a manifest that is no JSON", (f) => spoil(join(f, "manifest.json"), (t) => t.slice(0, 30)), /not JSON/],
  ["no manifest", (f) => rmSync(join(f, "manifest.json")), /it has no manifest\.json of ours/],
])("passes over one with %s, says why, and puts it aside", async (_, damage, why) => {
  const whole = await save(10);
  damage(await save(20));
  const { found, said } = find();
  expect(await found).toMatchObject({ folder: whole });
  expect(said).toEqual([
    expect.stringMatching(/^checkpoint .*step-00000020 cannot be used \(.*trying the one before$/),
  ]);
  expect(said[0]).toMatch(why);
  expect(readdirSync(dir).sort()).toEqual([".aside", "step-00000010"]);
});

test("when all are damaged it says so, and does not begin anew", async () => {
  for (const step of [10, 20]) rmSync(join(await save(step), "state.json"));
  await expect(find().found).rejects.toThrow(
    /VL_CHECKPOINT_BAD: No checkpoint in .* is whole\.\n.*step-00000020: state\.json is missing\n.*step-00000010/,
  );
  expect(readdirSync(dir).sort()).toEqual(["step-00000010", "step-00000020"]);
});

test("refuses one of another experiment by both names", async () => {
  await save(10, {}, "bigram");
  await expect(find().found).rejects.toThrow(
    /VL_CHECKPOINT_BAD: .*step-00000010.* belongs to experiment bigram, not to gpt/,
  );
});

test("refuses one of other parameters by their names and values, but for those that may change", async () => {
  await save(10);
  const changed = { params: { width: 16, steps: 200, extra: true } };
  await expect(find(changed).found).rejects.toThrow(
    /step-00000010 was made with other parameters\.\n.*it has width 8, not 16; steps 100, not 200; extra undefined, not true\./,
  );
  expect(await find({ ...changed, mayChange: ["width", "steps", "extra"] }).found).toMatchObject({
    progress: { step: 10 },
  });
});

test.each(["manifest.json", "state.json"])("refuses one whose %s is of a newer format, and leaves it", async (name) => {
  const folder = await save(10, name === "state.json" ? { format: 2 } : {});
  if (name === "manifest.json") spoil(join(folder, name), (text) => text.replace('"format": 1', '"format": 2'));
  await expect(find().found).rejects.toThrow(/newer/);
  expect(readdirSync(dir)).toEqual(["step-00000010"]);
});

test("the folder that is asked for comes first; what is ahead of it is hidden, not lost", async () => {
  const [first] = [await save(10), await save(20), await save(30)];
  expect(await find({ wanted: first }).found).toMatchObject({ progress: { step: 10 } });
  expect(readdirSync(dir)).toEqual([".aside", "step-00000010"]);
  expect(readdirSync(join(dir, ".aside")).sort()).toEqual(["step-00000020", "step-00000030"]);
});

test("a folder that is asked for and is not there is said; the newest is taken", async () => {
  await save(10);
  const { found, said } = find({ wanted: join(dir, "gone") });
  expect(await found).toMatchObject({ progress: { step: 10 } });
  expect(said).toEqual([expect.stringContaining("gone cannot be used (there is no such folder)")]);
});
