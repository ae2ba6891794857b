/** The log of a bucket: what was appended is there after a kill, and nothing else. */
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openLog, readLines, writeLog } from "../../../../../emulator/s3/storage/log.ts";

let folder: string;
let path: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "vastlane-log-"));
  path = join(folder, "log.jsonl");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

test("a log that was never written is empty", async () => {
  expect(await readLines(path)).toEqual([]);
});

test("lines that are appended one after the other, or all at once, are there in their order", async () => {
  const log = await openLog(path);
  await log.append("1");
  await log.append("2"); // in the very step in which the first one was done
  await Promise.all(["3", "4", "5"].map(log.append));
  await log.append("6");
  await log.close();
  expect(await readLines(path)).toEqual(["1", "2", "3", "4", "5", "6"]);
});

test("no line waits for ever, however little after another it comes", async () => {
  const log = await openLog(path);
  for (let steps = 0; steps < 12; steps++) {
    await log.append(`a${steps}`);
    for (let step = 0; step < steps; step++) await undefined;
    await log.append(`b${steps}`);
  }
  await log.close();
  expect(await readLines(path)).toHaveLength(24);
});

test("a torn last line never happened, and the next one does not begin in it", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.string({ unit: fc.constantFrom("a", "é", "{", " "), minLength: 1 }), { maxLength: 4 }),
      fc.string({ unit: fc.constantFrom("x", "日", "0".repeat(70_000)), maxLength: 4 }),
      async (lines, torn) => {
        await (await writeLog(path, lines)).close();
        appendFileSync(path, torn);
        expect(await readLines(path)).toEqual(lines);
        const log = await openLog(path);
        await log.append("next");
        await log.close();
        expect(await readLines(path)).toEqual([...lines, "next"]);
      },
    ),
    { numRuns: 30 },
  );
});

test("a log is written anew as a whole", async () => {
  await (await writeLog(path, ["old", "lines"])).close();
  const log = await writeLog(path, ["new"]);
  await log.append("more");
  await log.close();
  expect(readFileSync(path, "utf8")).toBe("new\nmore\n");
});
