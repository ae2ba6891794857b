import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { environmentOf, expandHome, findProjectRoot, stateFolder } from "../../../infra/project.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "vastlane-project-"));
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(root, { recursive: true, force: true });
});

test("the project is the nearest folder with Pulumi.yaml, at or above", () => {
  const deep = join(root, "a", "b");
  mkdirSync(deep, { recursive: true });
  writeFileSync(join(root, "Pulumi.yaml"), "");
  expect(findProjectRoot(root)).toBe(root);
  expect(findProjectRoot(deep)).toBe(root);
  writeFileSync(join(root, "a", "Pulumi.yaml"), "");
  expect(findProjectRoot(deep)).toBe(join(root, "a"));
});

test("no project says so", () => {
  expect(() => findProjectRoot(root)).toThrow(`VL_USAGE: no Pulumi.yaml in ${root} or above it
  do:  run the command in a vastlane project`);
});

test("our files are in the project unless the environment says otherwise", () => {
  vi.stubEnv("VASTLANE_STATE_DIR", undefined);
  expect(stateFolder("/p")).toBe("/p/.vastlane");
  vi.stubEnv("VASTLANE_STATE_DIR", "/elsewhere");
  expect(stateFolder("/p")).toBe("/elsewhere");
});

test(".env fills in what the shell does not set", () => {
  const shell = { A: "shell" };
  expect(environmentOf(root, shell)).toBe(shell);
  writeFileSync(join(root, ".env"), "A=file\nB='two words' # why\n\nexport C=3\n");
  expect(environmentOf(root, shell)).toEqual({ A: "shell", B: "two words", C: "3" });
});

test.each([
  ["~", homedir()],
  ["~/x/y", join(homedir(), "x/y")],
  ["/x", "/x"],
  ["x/~", "x/~"],
  ["~other/x", "~other/x"],
])("%s is %s", (path, expanded) => {
  expect(expandHome(path)).toBe(expanded);
});
