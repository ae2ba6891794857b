import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { readFileIfThere, readJsonIfThere, writeFileAtomic } from "../../../common/files.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "vastlane-files-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

test("writes the whole text, in folders that are made for it, with the mode", () => {
  const path = join(folder, "a", "b", "file");
  writeFileAtomic(path, "text", 0o600);
  expect(readFileSync(path, "utf8")).toBe("text");
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(readdirSync(join(folder, "a", "b"))).toEqual(["file"]);
});

test("replaces what was there", () => {
  const path = join(folder, "file");
  writeFileAtomic(path, "a long old text");
  writeFileAtomic(path, "new");
  expect(readFileSync(path, "utf8")).toBe("new");
});

test("a write that fails leaves the old text and no rest", () => {
  const path = join(folder, "taken");
  mkdirSync(join(path, "inside"), { recursive: true });
  expect(() => writeFileAtomic(path, "x")).toThrow();
  expect(readdirSync(folder)).toEqual(["taken"]);
  expect(existsSync(join(path, "inside"))).toBe(true);
});

test("what is not there is undefined, other faults are thrown", () => {
  expect(readFileIfThere(join(folder, "none"))).toBeUndefined();
  expect(readJsonIfThere(join(folder, "none"))).toBeUndefined();
  expect(() => readFileIfThere(folder)).toThrow(/EISDIR/);
});

test("broken JSON is thrown with the path", () => {
  const path = join(folder, "torn.json");
  writeFileSync(path, '{"a":');
  expect(() => readJsonIfThere(path)).toThrow(`${path} is not valid JSON`);
  writeFileSync(path, '{"a":1}');
  expect(readJsonIfThere(path)).toEqual({ a: 1 });
});
