import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { findProgram, isProgram } from "../../../common/programs.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "vastlane-programs-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function program(name: string, mode = 0o755, text = "#!/bin/sh\n"): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
}

test("finds a program on PATH, the first one first", () => {
  const path = program("sh");
  expect(findProgram("sh", `${folder}:/usr/bin`)).toBe(path);
});

test("finds system programs also where PATH leaves their folder out", () => {
  expect(findProgram("sh", folder)).toMatch(/\/sh$/);
});

test("what is not installed is undefined, and relative folders of PATH are not looked into", () => {
  expect(findProgram("no-such-program-here", folder)).toBeUndefined();
  expect(findProgram("no-such-program-here", ".:")).toBeUndefined();
});

test("an empty file, a folder and a file without the right are no programs", () => {
  mkdirSync(join(folder, "dir"));
  expect(isProgram(join(folder, "dir"))).toBe(false);
  expect(isProgram(program("empty", 0o755, ""))).toBe(false);
  expect(isProgram(program("plain", 0o644))).toBe(false);
  expect(isProgram(join(folder, "none"))).toBe(false);
  expect(isProgram(program("good"))).toBe(true);
});
