import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openPartLog } from "../../../../runtime/store/part-log.ts";

let dir: string;
let path: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "vastlane-part-log-"));
  path = join(dir, "file.upload");
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const identity = { key: "a/b", size: 7 };

test("what was noted is there after a kill", () => {
  const log = openPartLog(path, identity);
  log.note("upload", "id");
  log.note(1, '"etag"');
  log.note(1, '"newer"');
  const again = openPartLog(path, identity);
  expect([again.get("upload"), again.get(1), again.get(2)]).toEqual(["id", '"newer"', undefined]);
});

test("notes of another transfer are not used", () => {
  openPartLog(path, identity).note(1, "etag");
  expect(openPartLog(path, { ...identity, size: 8 }).get(1)).toBeUndefined();
  expect(openPartLog(path, identity).get(1)).toBeUndefined();
});

test("a line that a kill has cut is not there, and spoils none after it", () => {
  const log = openPartLog(path, identity);
  log.note(1, "one");
  log.note(2, "two");
  truncateSync(path, readFileSync(path).length - 3);
  const again = openPartLog(path, identity);
  expect([again.get(1), again.get(2)]).toEqual(["one", undefined]);
  again.note(3, "three");
  expect(openPartLog(path, identity).get(3)).toBe("three");
});

test.each(["", "garbage", "garbage\nmore\n"])("a file with %j in it is begun anew", (text) => {
  writeFileSync(path, text);
  const log = openPartLog(path, identity);
  log.note(1, "one");
  expect(openPartLog(path, identity).get(1)).toBe("one");
});

test("lines that mean nothing are passed over", () => {
  openPartLog(path, identity).note(1, "one");
  appendFileSync(path, '{"no":1}\nnonsense\n[1,2]\n');
  expect(openPartLog(path, identity).get(1)).toBe("one");
});

test("forgotten, and removed", () => {
  const log = openPartLog(path, identity);
  log.note(1, "one");
  log.reset();
  expect(log.get(1)).toBeUndefined();
  expect(openPartLog(path, identity).get(1)).toBeUndefined();
  log.remove();
  expect(existsSync(path)).toBe(false);
});
