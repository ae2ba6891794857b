import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, onTestFinished, test } from "vitest";
import { readSafetensors } from "../../../../runtime/checkpoint/index.ts";
import { openSaver } from "../../../../runtime/trainer/saver.ts";
import { makeSnapshot } from "../../../../runtime/trainer/snapshot.ts";

let dir: string;
let now = 0;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "vl-saver-"));
  now = 100;
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

function open(localDir = join(dir, "checkpoints")) {
  const saver = openSaver(
    { localDir, experiment: "x", keepLast: 2 },
    () => now,
    () => {},
  );
  onTestFinished(() => saver.end());
  return saver;
}
const tensors = () => ({ w: { dtype: "F32" as const, shape: [3], data: Float32Array.of(1, 2, 3) } });

test("what is saved is the state of the moment, though training goes on meanwhile", async () => {
  const saver = open();
  const state = tensors();
  saver.begin({ step: 7, tensors: state });
  state.w.data.fill(9);
  expect(saver.isBusy()).toBe(true);
  expect(await saver.settle()).toBe(true);
  expect(saver.isBusy()).toBe(false);
  expect(saver.newest()).toBe(join(dir, "checkpoints", "step-00000007"));
  const saved = await readSafetensors(join(saver.newest() ?? "", "tensors.safetensors"));
  expect(saved.tensors.w?.data).toEqual(Float32Array.of(1, 2, 3));
});

test("a save costs what steps take longer while it is on; before the first it is estimated by size", async () => {
  const saver = open();
  expect(saver.cost(2e9)).toEqual({ stallSeconds: 1, writeSeconds: 10 });
  for (const took of [1, 1.1, 0.9, 30, 1]) saver.stepTook(took); // the median: one long step is no usual one
  saver.begin({ step: 1, tensors: tensors() });
  saver.stepTook(3);
  saver.stepTook(0.5); // faster than usual is not time won by saving
  now += 4;
  await saver.settle();
  expect(saver.cost(2e9)).toEqual({ stallSeconds: 2, writeSeconds: 4 });
  saver.begin({ step: 2, tensors: tensors() });
  await saver.settle();
  expect(saver.cost(2e9)).toEqual({ stallSeconds: 1, writeSeconds: 2 });
});

test("what cannot be written is thrown at the next look, not lost", async () => {
  writeFileSync(join(dir, "file"), "");
  const saver = open(join(dir, "file", "below"));
  saver.begin({ step: 1, tensors: tensors() });
  await expect(saver.settle()).rejects.toThrow(/ENOTDIR/);
  expect(() => saver.isBusy()).toThrow(/ENOTDIR/);
});

test("a snapshot stays as it was, in memory that threads share and that is taken once", () => {
  const snapshot = makeSnapshot();
  const state = { ...tensors(), n: { dtype: "I64" as const, shape: [], data: BigInt64Array.of(5n) } };
  const first = snapshot.take(state);
  state.w.data.fill(0);
  expect(first.w?.data).toEqual(Float32Array.of(1, 2, 3));
  expect(first.n?.data).toEqual(BigInt64Array.of(5n));
  expect(first.w?.data.buffer).toBeInstanceOf(SharedArrayBuffer);
  const second = snapshot.take(state);
  expect(second.w?.data).toBe(first.w?.data);
  expect(second.w?.data).toEqual(new Float32Array(3));
});
