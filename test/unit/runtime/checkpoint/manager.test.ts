import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  CheckpointManager,
  type CheckpointManagerOptions,
  type Tensors,
} from "../../../../runtime/checkpoint/index.ts";
import { acquireLease, readLineage } from "../../../../runtime/lease/index.ts";
import { fakeClock } from "../../../helpers/fake-clock.ts";
import { leaseOptions } from "../../../helpers/lease.ts";
import { type MemoryStore, memoryStore } from "../../../helpers/memory-store.ts";

let root: string;
let store: MemoryStore;
let lines: string[];
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "vastlane-manager-"));
  store = memoryStore();
  lines = [];
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const open = (name = "local", more: Partial<CheckpointManagerOptions> = {}) =>
  new CheckpointManager({ localDir: join(root, name), env: {}, log: (line) => lines.push(line), ...more });
const openBoth = (name = "local", more: Partial<CheckpointManagerOptions> = {}) => open(name, { store, ...more });
const tensors = (value: number): Tensors => ({ w: { dtype: "F32", shape: [2], data: new Float32Array([value, 0.5]) } });
const save = (manager: CheckpointManager, step: number) =>
  manager.save({ step, tensors: tensors(step), state: { seed: step }, metrics: { loss: 1 / step } });
const harm = (name: string, step: number) =>
  truncateSync(join(root, name, `step-${String(step).padStart(8, "0")}`, "tensors.safetensors"), 5);

describe("on a laptop alone", () => {
  test("what was saved is loaded, bit for bit", async () => {
    const manager = open();
    expect(await manager.loadLatest()).toBeUndefined();
    const folder = await save(manager, 100);
    expect(folder).toBe(join(root, "local", "step-00000100"));
    expect(readdirSync(folder).sort()).toEqual(["SHA256SUMS", "manifest.json", "state.json", "tensors.safetensors"]);
    expect(await open().loadLatest()).toMatchObject({
      step: 100,
      tensors: tensors(100),
      state: { seed: 100 },
      metrics: { loss: 0.01 },
      folder,
    });
  });

  test("the newest so many are kept, three unless said otherwise", async () => {
    for (const [name, keepLast, kept] of [
      ["a", undefined, 3],
      ["b", 1, 1],
    ] as const) {
      const manager = open(name, keepLast ? { keepLast } : {});
      for (const step of [1, 2, 3, 4]) await save(manager, step);
      expect((await manager.list()).map(({ step }) => step)).toEqual([1, 2, 3, 4].slice(-kept));
    }
  });

  test("a damaged one is said and the one before is taken", async () => {
    const manager = open();
    for (const step of [1, 2]) await save(manager, step);
    harm("local", 2);
    expect((await manager.loadLatest())?.step).toBe(1);
    expect(lines.join("\n")).toContain("step-00000002 is damaged (tensors.safetensors has 5 bytes");
  });

  test("when none is whole, that is an error, and not a start from nothing", async () => {
    const manager = open();
    await save(manager, 1);
    harm("local", 1);
    await expect(manager.loadLatest()).rejects.toMatchObject({ code: "VL_CHECKPOINT_BAD" });
  });

  test("one of another experiment or a newer format is refused", async () => {
    await save(open("local", { experiment: "char-gpt" }), 1);
    await expect(open("local", { experiment: "bigram" }).loadLatest()).rejects.toThrow(
      "belongs to experiment char-gpt",
    );
    const path = join(root, "local", "step-00000001", "manifest.json");
    writeFileSync(path, readFileSync(path, "utf8").replace('"format": 1', '"format": 2'));
    await expect(open().loadLatest()).rejects.toThrow("has format 2");
  });

  test("state that JSON would change is refused, and nothing is written", async () => {
    await expect(open().save({ step: 1, tensors: {}, state: { loss: Number.NaN } })).rejects.toThrow(
      "state.loss is NaN, which JSON cannot keep",
    );
    expect(await open().list()).toEqual([]);
  });

  test("metrics that are no numbers are left out", async () => {
    const manager = open();
    await manager.save({ step: 1, tensors: {}, metrics: { loss: Number.NaN, accuracy: 1 } });
    expect((await manager.loadLatest())?.metrics).toEqual({ accuracy: 1 });
  });

  test("a save that fails leaves the older one as it was", async () => {
    const manager = open();
    await save(manager, 1);
    const wrong = { w: { dtype: "F32", shape: [3], data: new Float32Array(2) } } as const;
    await expect(manager.save({ step: 1, tensors: wrong })).rejects.toThrow("tensor w");
    expect(readdirSync(join(root, "local"))).toEqual(["step-00000001"]);
    expect((await manager.loadLatest())?.step).toBe(1);
  });

  test("uploads without a bucket are refused with what to do", async () => {
    await expect(open().uploadLatest()).rejects.toThrow(
      "VL_USAGE: This CheckpointManager has no store.\n  why: it was made without remoteBucket, so checkpoints are local only.\n  do:  give it remoteBucket and remotePrefix",
    );
  });
});

describe("with a store", () => {
  test("a checkpoint is loaded in another place", async () => {
    const manager = openBoth();
    await save(manager, 100);
    expect(await manager.uploadLatest()).toBe("step-00000100.e00000");
    expect(await openBoth("other").loadLatest()).toMatchObject({
      step: 100,
      tensors: tensors(100),
      state: { seed: 100 },
    });
  });

  test("nothing to upload and nothing to download is no error", async () => {
    expect(await openBoth().uploadLatest()).toBeUndefined();
    expect(await openBoth().downloadLatest()).toBeUndefined();
    expect(await openBoth().loadLatest()).toBeUndefined();
  });

  test("the newer of both is loaded", async () => {
    const here = openBoth("here");
    await save(here, 100);
    await here.uploadLatest();
    const there = openBoth("there");
    await there.loadLatest();
    await save(there, 200);
    await there.uploadLatest();
    expect((await here.loadLatest())?.step).toBe(200);
    await save(there, 300);
    expect((await there.loadLatest())?.step).toBe(300);
  });

  test("a store that does not answer is passed over where there is a local one", async () => {
    const manager = openBoth();
    await save(manager, 100);
    store.failNext({ times: 1 });
    expect((await manager.loadLatest())?.step).toBe(100);
    expect(lines.join("\n")).toContain("going on with the local checkpoint of step 100");
    store.failNext({ times: 1 });
    await expect(openBoth("other").loadLatest()).rejects.toMatchObject({ code: "VL_STORE_DOWN" });
  });

  test("a folder that was left behind does not become the newest again", async () => {
    const old = openBoth("old");
    await save(old, 100);
    const other = openBoth("other");
    await save(other, 200);
    await other.uploadLatest();
    expect(await old.uploadLatest()).toBeUndefined();
    expect(await readLineage(store)).toEqual(["step-00000200.e00000"]);
    expect(lines.join("\n")).toContain("is not uploaded: the store has step-00000200.e00000");
  });

  test("a damaged local one is not uploaded; the one before is", async () => {
    const manager = openBoth();
    for (const step of [1, 2]) await save(manager, step);
    harm("local", 2);
    expect(await manager.uploadLatest()).toBe("step-00000001.e00000");
  });

  test("damaged in the store, the one before is loaded, and the step is uploaded again when it is made again", async () => {
    const manager = openBoth();
    for (const step of [1, 2]) {
      await save(manager, step);
      await manager.uploadLatest();
    }
    await store.put("checkpoints/step-00000002.e00000/state.json", "{}");
    const other = openBoth("other");
    expect((await other.loadLatest())?.step).toBe(1);
    await save(other, 2);
    expect(await other.uploadLatest()).toMatch(/^step-00000002\.e00000/);
    expect((await openBoth("third").loadLatest())?.step).toBe(2);
  });

  test("local and stored ones are listed together", async () => {
    const manager = openBoth("local", { keepLast: 1 });
    for (const step of [1, 2]) {
      await save(manager, step);
      await manager.uploadLatest();
    }
    await save(manager, 3);
    expect((await manager.list()).map(({ step, folder, stored }) => [step, folder !== undefined, stored])).toEqual([
      [1, false, "step-00000001.e00000"],
      [2, false, "step-00000002.e00000"],
      [3, true, undefined],
    ]);
    expect(await manager.list({ isLocal: true })).toHaveLength(1);
  });

  test("a run that a machine works on is not written to", async () => {
    const clock = fakeClock();
    store = memoryStore({ clock });
    const held = await acquireLease(leaseOptions(store, clock, "machine"));
    const manager = openBoth("local", { clock });
    await save(manager, 100);
    await expect(manager.uploadLatest()).rejects.toMatchObject({
      code: "VL_LEASE_HELD",
      why: expect.stringContaining("host-machine, process 1 holds the run"),
    });
    await held.release();
    expect(await manager.uploadLatest()).toBe("step-00000100.e00002");
    expect(store.json("lease.json")).toMatchObject({ epoch: 2, released: true });
  });

  test("below an agent, only the agent uploads", async () => {
    const env = { VASTLANE_SUPERVISED_IN: "/workspace" };
    const manager = open("local", { remoteBucket: "runs", env });
    await save(manager, 100);
    expect(await manager.uploadLatest()).toBeUndefined();
    expect((await manager.loadLatest())?.step).toBe(100);
  });
});

test("what a killed writer had moved aside is put back", async () => {
  const manager = open();
  const folder = await save(manager, 1);
  const aside = join(root, "local", ".replaced-step-00000001");
  renameSync(folder, aside);
  expect((await open().loadLatest())?.step).toBe(1);
  expect(existsSync(aside)).toBe(false);
});
