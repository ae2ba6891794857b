import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { guardDisk, planDisk, removableOf, wantedFree } from "../../../../runtime/agent/disk-guard.ts";

const GB = 1e9;
const removable = [
  { path: "aside", bytes: 3 * GB },
  { path: "step-1", bytes: 2 * GB },
  { path: "step-2", bytes: 2 * GB },
];

test.each([
  ["a large disk keeps a twentieth free", { totalBytes: 100 * GB, checkpointBytes: 0 }, 5 * GB],
  ["a small one a tenth", { totalBytes: 2 * GB, checkpointBytes: 0 }, 0.2 * GB],
  ["twice a checkpoint must fit", { totalBytes: 100 * GB, checkpointBytes: 10 * GB }, 20 * GB],
])("%s", (_, state, wanted) => {
  expect(wantedFree(state)).toBe(wanted);
});

test.each([
  ["nothing goes while there is enough", 6 * GB, []],
  ["only as much goes as is missing", 4 * GB, ["aside"]],
  ["in the order given", 1 * GB, ["aside", "step-1"]],
  ["and no more than there is", -9 * GB, ["aside", "step-1", "step-2"]],
])("%s", (_, freeBytes, plan) => {
  expect(planDisk({ freeBytes, totalBytes: 100 * GB, checkpointBytes: 0, removable })).toEqual(plan);
});

test("names what may go, and never the newest checkpoint", () => {
  const root = mkdtempSync(join(tmpdir(), "vastlane-disk-"));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  const checkpointDir = join(root, "persistent", "checkpoints");
  for (const name of ["step-1", "step-2", "step-3", "step-4"]) {
    mkdirSync(join(checkpointDir, name), { recursive: true });
    writeFileSync(join(checkpointDir, name, "w"), "x");
  }
  mkdirSync(join(root, "persistent", "checkpoints.outside-e00002"), { recursive: true });
  mkdirSync(join(root, "logs"));
  for (const name of ["output.log", "output.log.1", "metrics.jsonl"]) writeFileSync(join(root, "logs", name), "x");
  const found = (saved: string | null, hasStore: boolean) =>
    removableOf({ root, checkpointDir, logs: join(root, "logs"), saved: () => saved, hasStore, log: () => {} }).map(
      (path) => path.slice(root.length + 1),
    );
  const at = (name: string) => `persistent/checkpoints/${name}`;
  expect(found("step-3", true)).toEqual([
    "persistent/checkpoints.outside-e00002",
    at("step-1"),
    at("step-2"),
    "logs/output.log.1",
  ]);
  expect(found(null, true)).toEqual(["persistent/checkpoints.outside-e00002", "logs/output.log.1"]);
  expect(found(null, false)).toEqual([at("step-1"), at("step-2"), "logs/output.log.1"]);
});

test("a disk that cannot be asked keeps nobody from their work", () => {
  const log: string[] = [];
  const place = { root: "/not/there", checkpointDir: "/not/there/checkpoints", logs: "/not/there/logs" };
  expect(guardDisk({ ...place, saved: () => null, hasStore: true, log: (line) => log.push(line) })).toBeNull();
  expect(log).toEqual([expect.stringContaining("the disk's space could not be looked after: ENOENT")]);
});
