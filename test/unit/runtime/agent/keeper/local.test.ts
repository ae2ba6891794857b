import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import {
  isContinued,
  type Memory,
  moveAside,
  newestWhole,
  readMemory,
  writeMemory,
} from "../../../../../runtime/agent/keeper/local.ts";
import { ourFolder, plainFolder } from "../../../../helpers/checkpoint-folders.ts";

function makeDisk() {
  const root = mkdtempSync(join(tmpdir(), "vastlane-local-"));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  return { root, dir: join(root, "checkpoints"), memory: join(root, "memory.json") };
}

const share = { others: 0, from: 0, counted: 0 };
const memory = (epoch: number, runId = "s/run"): Memory => ({ runId, epoch, generation: 0, share });

test.each<[string, Memory | undefined, number, string | null, boolean, boolean]>([
  ["of this run, and nobody came between", memory(3), 3, "step-00000100.e00003", false, true],
  ["of this run, before its first checkpoint", memory(3), 3, null, false, true],
  ["of this run, and somebody came between", memory(3), 4, "step-00000100.e00004", false, false],
  ["of another run", memory(3, "s/other"), 3, null, false, false],
  ["none, and the store has nothing", undefined, 0, null, false, true],
  ["none, and the store has something", undefined, 2, "step-00000100.e00002", false, false],
  ["of this run, which starts anew", memory(3), 3, null, true, false],
])("a disk's memory: %s", (_, remembered, previousEpoch, parent, isFresh, expected) => {
  expect(isContinued({ memory: remembered, runId: "s/run", previousEpoch, parent, isFresh })).toBe(expected);
});

describe("the memory", () => {
  test("is read as it was written, and is nothing on a new disk", () => {
    const disk = makeDisk();
    expect(readMemory(disk.memory)).toBeUndefined();
    writeMemory(disk.memory, memory(7));
    expect(readMemory(disk.memory)).toEqual(memory(7));
  });

  test.each(["", "{", "null", "7", '{"runId":"s/run","epoch":3}', '{"runId":"s/run","epoch":"3","generation":0}'])(
    "that is %j is of nobody's run",
    (text) => {
      const disk = makeDisk();
      writeFileSync(disk.memory, text);
      const read = readMemory(disk.memory);
      expect(read).toBeDefined();
      const tenancy = { runId: "s/run", previousEpoch: 3, parent: null, isFresh: false };
      expect(isContinued({ ...tenancy, memory: read })).toBe(false);
    },
  );
});

describe("moving aside", () => {
  test("takes every checkpoint, also one that was about to be replaced, and leaves the rest", async () => {
    const { root, dir } = makeDisk();
    plainFolder(dir, "step-5", { a: "x" });
    plainFolder(dir, ".replaced-step-9", { a: "x" });
    writeFileSync(join(dir, "notes.txt"), "mine");
    expect(moveAside(dir, 12)).toBe(join(root, "checkpoints.outside-e00012"));
    expect(readdirSync(join(root, "checkpoints.outside-e00012")).sort()).toEqual(["step-5", "step-9"]);
    expect(readdirSync(dir)).toEqual(["notes.txt"]);
    expect(await newestWhole(dir, () => {})).toBeUndefined();
  });

  test("is nothing without checkpoints", () => {
    const { root, dir } = makeDisk();
    expect(moveAside(dir, 1)).toBeUndefined();
    mkdirSync(dir);
    expect(moveAside(dir, 1)).toBeUndefined();
    expect(readdirSync(root)).toEqual(["checkpoints"]);
  });
});

describe("the newest whole one", () => {
  test("is the one before a damaged one, which is said", async () => {
    const { dir } = makeDisk();
    const whole = ourFolder(dir, 100, { "w.bin": "good" });
    const damaged = ourFolder(dir, 200, { "w.bin": "good" });
    writeFileSync(join(damaged, "w.bin"), "evil");
    const log: string[] = [];
    expect(await newestWhole(dir, (line) => log.push(line))).toBe(whole);
    expect(log.join()).toContain(`${damaged} is not used: VL_CHECKPOINT_BAD`);
  });

  test("of a command's own folders is taken at its word", async () => {
    const { dir } = makeDisk();
    const folder = plainFolder(dir, "step-7", { a: "x" });
    expect(await newestWhole(dir, () => {})).toBe(folder);
    expect(existsSync(join(folder, "manifest.json"))).toBe(false);
  });
});
