import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { fileLog } from "../../../common/log.ts";

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "vastlane-log-"));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

test("appends lines with their time and who says them", () => {
  const path = join(folder(), "log", "dev.log");
  fileLog(path, "main")("renting");
  fileLog(path, "guard")("swept");
  expect(readFileSync(path, "utf8")).toMatch(
    /^\d{4}-\d\d-\d\dT[\d:.]+Z main: renting\n\d{4}-\d\d-\d\dT[\d:.]+Z guard: swept\n$/,
  );
});

test("a log that cannot be written never stops what it reports on", () => {
  const path = join(folder(), "file");
  writeFileSync(path, "");
  expect(() => fileLog(join(path, "below", "dev.log"), "main")("destroying")).not.toThrow();
});
