import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { forgetScope, readScopes, rememberScope } from "../../../../infra/vast/scopes.ts";

let stateDir: string;
beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), "vastlane-scopes-"));
});
afterEach(() => rmSync(stateDir, { recursive: true, force: true }));

const dev = { stack: "dev", project: "vastlane" };
const prod = { stack: "prod", project: "vastlane" };

test("remembers which stack a scope belongs to, and forgets one of them", () => {
  rememberScope(stateDir, "a", dev);
  rememberScope(stateDir, "b", prod);
  expect(readScopes(stateDir)).toEqual({ a: dev, b: prod });
  forgetScope(stateDir, "a");
  expect(readScopes(stateDir)).toEqual({ b: prod });
});

test("keeps nothing but the names", () => {
  rememberScope(stateDir, "a", { ...dev, uid: "secret", market: "vast" } as typeof dev);
  expect(readFileSync(join(stateDir, "scopes.json"), "utf8")).not.toContain("secret");
});

test.each(["", "{", "[1]", '{"a":1}'])("a file with %j costs only the names", (text) => {
  writeFileSync(join(stateDir, "scopes.json"), text);
  expect(readScopes(stateDir)).toEqual({});
  forgetScope(stateDir, "a");
  rememberScope(stateDir, "a", dev);
  expect(readScopes(stateDir)).toEqual({ a: dev });
});

test("no file means no names", () => {
  expect(readScopes(join(stateDir, "nowhere"))).toEqual({});
});

test("forgetting never fails a destroy; remembering fails before a rent", () => {
  mkdirSync(join(stateDir, "scopes.json", "in-the-way"), { recursive: true });
  expect(() => forgetScope(stateDir, "a")).not.toThrow();
  expect(() => rememberScope(stateDir, "a", dev)).toThrow();
});
