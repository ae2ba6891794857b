import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openRotatingFile } from "../../../../runtime/agent/rotating-file.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "vastlane-log-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));
const read = (name: string) => readFileSync(join(dir, name), "utf8");

test("appends to what is there", () => {
  for (const text of ["one\n", "two\n"]) {
    const file = openRotatingFile(join(dir, "a.log"), { maxBytes: 100, keep: 2 });
    file.write(text);
    file.close();
  }
  expect(read("a.log")).toBe("one\ntwo\n");
});

test("never holds more than (keep + 1) x maxBytes, and drops the oldest", () => {
  const file = openRotatingFile(join(dir, "a.log"), { maxBytes: 10, keep: 2 });
  for (let n = 0; n < 8; n++) file.write(`line ${n}\n`);
  file.close();
  expect(readdirSync(dir).sort()).toEqual(["a.log", "a.log.1", "a.log.2"]);
  expect([read("a.log.2"), read("a.log.1"), read("a.log")]).toEqual(["line 5\n", "line 6\n", "line 7\n"]);
});

test("follows when somebody empties or removes the file", () => {
  const file = openRotatingFile(join(dir, "a.log"), { maxBytes: 20, keep: 1 });
  file.write("a long first line\n");
  truncateSync(join(dir, "a.log"));
  file.refresh();
  file.write("short\n");
  expect(read("a.log")).toBe("short\n");
  rmSync(join(dir, "a.log"));
  file.refresh();
  file.write("new\n");
  file.close();
  expect(read("a.log")).toBe("new\n");
  expect(readdirSync(dir)).toEqual(["a.log"]);
});

test.runIf(process.platform === "linux")("counts what cannot be written instead of throwing", () => {
  const file = openRotatingFile("/dev/full", { maxBytes: 100, keep: 0 });
  file.write("12345");
  file.write("678");
  expect(file.lostBytes()).toBe(8);
  file.refresh();
  expect(file.lostBytes()).toBe(8);
  file.close();
});

test("makes its folder", () => {
  const file = openRotatingFile(join(dir, "logs", "a.log"), { maxBytes: 100, keep: 0 });
  file.write("x");
  file.close();
  expect(statSync(join(dir, "logs", "a.log")).size).toBe(1);
});
