import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { writeStateFile } from "../../../../runtime/agent/state-file.ts";

function temporary(): string {
  const dir = mkdtempSync(join(tmpdir(), "vastlane-state-"));
  onTestFinished(() => rmSync(dir, { recursive: true }));
  return dir;
}

test("writes whole JSON of a fixed size and leaves no temporary file", () => {
  const dir = temporary();
  expect(writeStateFile(join(dir, "a.json"), { text: "ä" }, { durable: true })).toBe("whole");
  expect(JSON.parse(readFileSync(join(dir, "a.json"), "utf8"))).toEqual({ text: "ä" });
  expect(statSync(join(dir, "a.json")).size).toBe(2048);
  expect(readdirSync(dir)).toEqual(["a.json"]);
});

test("grows by blocks", () => {
  const path = join(temporary(), "a.json");
  writeStateFile(path, "x".repeat(3000), { durable: false });
  expect(statSync(path).size).toBe(4096);
});

test("says no when there is no way to write", () => {
  expect(writeStateFile("/proc/no/such.json", {}, { durable: false })).toBe("no");
});
