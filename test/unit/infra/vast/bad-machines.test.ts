import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { badMachinesIn } from "../../../../infra/vast/bad-machines.ts";
import { type FakeClock, fakeClock } from "../../../helpers/fake-clock.ts";

let root: string;
let path: string;
let clock: FakeClock;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "vastlane-bad-"));
  path = join(root, "bad-machines.json");
  clock = fakeClock();
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

test("remembers machines with the reason, for the next process as well", () => {
  badMachinesIn(path, clock).add(101, "host offline");
  badMachinesIn(path, clock).add(102, "failed");
  const bad = badMachinesIn(path, clock);
  expect([101, 102, 103].map((id) => bad.has(id))).toEqual([true, true, false]);
  expect(JSON.parse(readFileSync(path, "utf8"))["101"]).toEqual({ at: clock.now(), reason: "host offline" });
});

test("forgets them after a day", async () => {
  const bad = badMachinesIn(path, clock);
  bad.add(101, "host offline");
  await clock.sleep(24 * 3_600_000 - 1);
  expect(bad.has(101)).toBe(true);
  await clock.sleep(1);
  expect(bad.has(101)).toBe(false);
  bad.add(102, "failed");
  expect(Object.keys(JSON.parse(readFileSync(path, "utf8")))).toEqual(["102"]);
});

test.each(["", "{", '{"101":{"at":"x"}}', "[]"])("a file with %j is as good as none", (text) => {
  writeFileSync(path, text);
  const bad = badMachinesIn(path, clock);
  expect(bad.has(101)).toBe(false);
  bad.add(101, "failed");
  expect(bad.has(101)).toBe(true);
});

test("a file that cannot be written is no fault: it is only a hint", () => {
  mkdirSync(join(path, "in-the-way"), { recursive: true });
  const bad = badMachinesIn(path, clock);
  expect(() => bad.add(101, "failed")).not.toThrow();
  expect(bad.has(101)).toBe(false);
});
