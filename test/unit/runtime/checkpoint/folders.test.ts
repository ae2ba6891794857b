import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import {
  listCheckpoints,
  newestCheckpoint,
  pruneCheckpoints,
  publishCheckpoint,
  recoverReplaced,
  stepInName,
  writeCheckpoint,
} from "../../../../runtime/checkpoint/folders.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "vastlane-checkpoints-"));
});
afterEach(() => rmSync(dir, { recursive: true }));

const names = () => listCheckpoints(dir).map((path) => basename(path));
const publish = (name: string, text = name) =>
  publishCheckpoint(dir, name, (folder) => writeFileSync(join(folder, "weights"), text));

test("lists nothing where nothing is", () => {
  expect(listCheckpoints(join(dir, "none"))).toEqual([]);
  expect(newestCheckpoint(dir)).toBeUndefined();
});

test("orders numbered names by number, not by letters or time", () => {
  for (const name of ["step-1000", "step-200", "step-30"]) publish(name);
  expect(names()).toEqual(["step-30", "step-200", "step-1000"]);
});

test("orders other names by time", () => {
  for (const [name, seconds] of [
    ["best", 30],
    ["final", 20],
    ["epoch-3", 10],
  ] as const) {
    publish(name);
    utimesSync(join(dir, name), seconds, seconds);
  }
  expect(names()).toEqual(["epoch-3", "final", "best"]);
});

test("does not see what is unfinished, empty, nor files", () => {
  mkdirSync(join(dir, "step-7"));
  for (const name of [".unfinished-x", "step-5.tmp", "step-6.partial"]) mkdirSync(join(dir, name));
  writeFileSync(join(dir, "latest"), "step-5");
  expect(names()).toEqual([]);
});

test("replaces a checkpoint of the same name", () => {
  publish("step-1", "old");
  const path = publish("step-1", "new");
  expect(readFileSync(join(path, "weights"), "utf8")).toBe("new");
  expect(readdirSync(dir)).toEqual(["step-1"]);
});

test("leaves nothing behind when writing fails, and the older one untouched", () => {
  publish("step-1", "old");
  const failing = () =>
    publishCheckpoint(dir, "step-1", () => {
      throw new Error("disk full");
    });
  expect(failing).toThrow("disk full");
  expect(readdirSync(dir)).toEqual(["step-1"]);
});

test("keeps the newest, and sweeps up after killed writers", () => {
  for (const step of [1, 2, 3, 10]) publish(`step-${step}`);
  mkdirSync(join(dir, ".unfinished-x"));
  pruneCheckpoints(dir, 2);
  expect(readdirSync(dir).sort()).toEqual(["step-10", "step-3"]);
  pruneCheckpoints(dir, 0);
  expect(readdirSync(dir)).toEqual(["step-10"]);
});

test("puts back what a killed writer had moved aside, unless the new one is there", () => {
  for (const name of [".replaced-step-1", ".replaced-step-2", "step-2"]) {
    mkdirSync(join(dir, name));
    writeFileSync(join(dir, name, "weights"), name);
  }
  recoverReplaced(dir);
  expect(readdirSync(dir).sort()).toEqual(["step-1", "step-2"]);
  expect(readFileSync(join(dir, "step-1", "weights"), "utf8")).toBe(".replaced-step-1");
  expect(readFileSync(join(dir, "step-2", "weights"), "utf8")).toBe("step-2");
  recoverReplaced(join(dir, "none"));
});

test.each([
  ["step-00000200", 200],
  ["checkpoint-1000", 1000],
  ["/runs/7/epoch-3.pt", 3],
  ["best", undefined],
])("the step in %s is %s", (folder, step) => {
  expect(stepInName(folder)).toBe(step);
});

test("a folder is written beside other work, and is whole or absent too", async () => {
  await writeCheckpoint(dir, "step-1", async (folder) => writeFileSync(join(folder, "weights"), "1"));
  await expect(
    writeCheckpoint(dir, "step-2", async (folder) => {
      writeFileSync(join(folder, "weights"), "2");
      throw new Error("killed");
    }),
  ).rejects.toThrow("killed");
  expect(readdirSync(dir)).toEqual(["step-1"]);
});
