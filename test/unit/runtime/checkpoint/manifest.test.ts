import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  areSameFiles,
  DamagedCheckpoint,
  listFiles,
  manifestText,
  parseManifest,
  readLocalManifest,
  sumsText,
  verifyFolder,
} from "../../../../runtime/checkpoint/manifest.ts";
import { manifestOf, ourFolder, plainFolder, sha256 } from "../../../helpers/checkpoint-folders.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "vastlane-manifest-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const good = manifestOf(200, { "a.bin": "A", "sub/b.bin": "B" });

test("a manifest comes back as it was written", () => {
  expect(parseManifest(manifestText(good), "here")).toEqual(good);
});

describe("a damaged manifest is said with what is wrong", () => {
  const file = { path: "a", bytes: 1, sha256: "0".repeat(64) };
  test.each<[string, unknown, string]>([
    ["null", null, "it is not an object"],
    ["no format", { ...good, format: undefined }, "its format is undefined"],
    ["no run", { ...good, runId: 7 }, "it names no run or no id"],
    ["a step that is none", { ...good, step: -1 }, "it has no step or no epoch"],
    ["a parent that is none", { ...good, parent: 7 }, "its parent is no id"],
    ["no files", { ...good, files: "a" }, "it lists no files"],
    ["a file twice", { ...good, files: [file, file] }, "it lists a file twice"],
    ["a hash that is none", { ...good, files: [{ ...file, sha256: "x" }] }, "it lists a file that cannot be"],
    ["itself", { ...good, files: [{ ...file, path: "manifest.json" }] }, "it lists a file that cannot be"],
    ["a path that leads outside", { ...good, files: [{ ...file, path: "../x" }] }, "it lists a file that cannot be"],
    ["a path from the root", { ...good, files: [{ ...file, path: "/etc/x" }] }, "it lists a file that cannot be"],
    ["an empty part of a path", { ...good, files: [{ ...file, path: "a//b" }] }, "it lists a file that cannot be"],
  ])("%s", (_what, value, why) => {
    const parse = () => parseManifest(JSON.stringify(value), "here");
    expect(parse).toThrow(DamagedCheckpoint);
    expect(parse).toThrow(why);
  });

  test("cut text", () => {
    expect(() => parseManifest(manifestText(good).slice(0, 50), "here")).toThrow(DamagedCheckpoint);
  });
});

test("a newer format is refused as such: no older checkpoint may be taken in its place", () => {
  const parse = () => parseManifest(JSON.stringify({ ...good, format: 2 }), "s3://runs/x/manifest.json");
  expect(parse).not.toThrow(DamagedCheckpoint);
  expect(parse).toThrow(
    "VL_CHECKPOINT_BAD: s3://runs/x/manifest.json has format 2, and this vastlane knows 1.\n  why: a newer vastlane has written it.\n  do:  update vastlane here, or go on with the version that wrote it",
  );
});

test("one of another run or experiment is refused by name", () => {
  const text = manifestText({ ...good, experiment: "char-gpt" });
  expect(() => parseManifest(text, "here", { runId: "stack/other" })).toThrow(
    "VL_CHECKPOINT_BAD: here belongs to run stack/run, not to stack/other.\n  why: checkpoints of another run are never loaded in its place.\n  do:  correct the run's name, or point to another folder or prefix",
  );
  expect(() => parseManifest(text, "here", { experiment: "bigram" })).toThrow(
    "belongs to experiment char-gpt, not to bigram",
  );
  expect(parseManifest(text, "here", { runId: "stack/run", experiment: "char-gpt" }).step).toBe(200);
});

test("an experiment without a name fits all", () => {
  expect(parseManifest(manifestText(good), "here", { experiment: "bigram" }).step).toBe(200);
});

test("sums are lines for sha256sum -c", () => {
  expect(sumsText(good.files)).toBe(`${sha256("A")}  a.bin\n${sha256("B")}  sub/b.bin\n`);
});

test("all regular files are listed, by path, but manifest, sums and links", () => {
  const folder = ourFolder(dir, 200, { "b.bin": "BB", "a/c.bin": "C", ".hidden": "" });
  symlinkSync("/etc/passwd", join(folder, "link"));
  mkdirSync(join(folder, "empty"));
  expect(listFiles(folder)).toEqual([
    { path: ".hidden", bytes: 0 },
    { path: "a/c.bin", bytes: 1 },
    { path: "b.bin", bytes: 2 },
  ]);
});

test("a folder of a command's own has no manifest, also where it has a file of that name", () => {
  const folder = plainFolder(dir, "step-1", { "manifest.json": '{"name":"mine"}' });
  expect(readLocalManifest(folder)).toBeUndefined();
  expect(readLocalManifest(plainFolder(dir, "step-2", { x: "" }))).toBeUndefined();
});

test("a manifest that is cut is not overlooked", () => {
  const folder = plainFolder(dir, "step-1", { "manifest.json": '{"format":1,"run' });
  expect(() => readLocalManifest(folder)).toThrow(DamagedCheckpoint);
});

test("a whole folder verifies", async () => {
  await verifyFolder(ourFolder(dir, 200, { "a.bin": "A", "sub/b.bin": "B" }), good);
});

test.each<[string, (folder: string) => void, string]>([
  ["a missing file", (folder) => rmSync(join(folder, "a.bin")), "a.bin is missing"],
  ["a shorter file", (folder) => writeFileSync(join(folder, "a.bin"), ""), "a.bin has 0 bytes instead of 1"],
  ["another byte", (folder) => writeFileSync(join(folder, "a.bin"), "B"), "a.bin has other content (SHA-256)"],
])("%s is found", async (_what, harm, why) => {
  const folder = ourFolder(dir, 200, { "a.bin": "A", "sub/b.bin": "B" });
  harm(folder);
  await expect(verifyFolder(folder, good)).rejects.toThrow(why);
});

test("lists of files are the same whatever their order", () => {
  expect(areSameFiles(good.files, [...good.files].reverse())).toBe(true);
  expect(areSameFiles(good.files, good.files.slice(1))).toBe(false);
  expect(areSameFiles(good.files, manifestOf(200, { "a.bin": "X", "sub/b.bin": "B" }).files)).toBe(false);
});
