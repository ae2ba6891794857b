import { appendFileSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { openLog, readLines, writeLog } from "../../../../../emulator/s3/storage/log.ts";

function path(): string {
  const folder = mkdtempSync(join(tmpdir(), "vastlane-log-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return join(folder, "log");
}

test("lines are on the disk when they are said to be, in their order", async () => {
  const file = path();
  const log = await writeLog(file, ["first"]);
  await Promise.all(Array.from({ length: 100 }, (_, line) => log.append(`line ${line}`)));
  expect(await readLines(file)).toEqual(["first", ...Array.from({ length: 100 }, (_, line) => `line ${line}`)]);
  await log.close();
});

test("no line waits for ever, however little after another it comes", async () => {
  const file = path();
  const log = await openLog(file);
  for (let steps = 0; steps < 12; steps++) {
    await log.append(`a${steps}`);
    for (let step = 0; step < steps; step++) await undefined;
    await log.append(`b${steps}`);
  }
  await log.close();
  expect(await readLines(file)).toHaveLength(24);
});

test("a torn last line never happened, and the next one stands alone", async () => {
  const file = path();
  const log = await writeLog(file, ["one", "two"]);
  await log.close();
  for (const torn of ["thr", "x".repeat(200_000)]) {
    appendFileSync(file, torn);
    expect(await readLines(file)).toEqual(["one", "two"]);
    const again = await openLog(file);
    await again.append("three");
    await again.close();
    expect(readFileSync(file, "utf8")).toBe("one\ntwo\nthree\n");
    truncateSync(file, 8);
  }
});

test("a log that is nothing but a torn line is empty", async () => {
  const file = path();
  writeFileSync(file, "torn");
  expect(await readLines(file)).toEqual([]);
  const log = await openLog(file);
  await log.append("one");
  await log.close();
  expect(await readLines(file)).toEqual(["one"]);
});

test("there are no lines where there is no file", async () => {
  expect(await readLines(path())).toEqual([]);
});
