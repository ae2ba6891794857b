/** The disk guard on real disks of a few megabytes: what it counts is what the file system has left. Needs root. */
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { guardDisk } from "../../../runtime/agent/disk-guard.ts";
import { canMount, mountSmallDisk } from "../../helpers/small-disk.ts";

const MB = 1 << 20;

function workspace() {
  const disk = mountSmallDisk(10);
  const checkpointDir = join(disk, "persistent", "checkpoints");
  const logs = join(disk, "logs");
  const project = join(disk, "project");
  for (const folder of [checkpointDir, logs, project]) mkdirSync(folder, { recursive: true });
  const log: string[] = [];
  return {
    checkpointDir,
    log,
    write(path: string, megabytes: number) {
      const file = join(disk, path);
      mkdirSync(join(file, ".."), { recursive: true });
      writeFileSync(file, Buffer.alloc(megabytes * MB));
    },
    checkpoint(step: number, megabytes = 1) {
      this.write(`persistent/checkpoints/step-${step}/weights`, megabytes);
    },
    left: () => readdirSync(checkpointDir).sort(),
    guard: (saved: string | null, hasStore = true) =>
      guardDisk({ root: disk, checkpointDir, logs, saved: () => saved, hasStore, log: (line) => log.push(line) }),
  };
}

test.runIf(canMount)("frees the oldest uploaded checkpoints, and no more than is needed", () => {
  const disk = workspace();
  const { guard, left, log, write } = disk;
  for (const step of [1, 2, 3, 4, 5]) disk.checkpoint(step);
  expect(guard("step-4")).toBeNull();
  expect(left()).toHaveLength(5);
  write("project/data.bin", 4); // 1 MB left, and 2 are wanted
  expect(guard("step-4")).toBeNull();
  expect(left()).toEqual(["step-2", "step-3", "step-4", "step-5"]);
  expect(log).toEqual([expect.stringMatching(/the disk is nearly full: removed .*\/step-1$/)]);
});

test.runIf(canMount)("says it when nothing of ours is left to free, and touches nobody else's files", () => {
  const disk = workspace();
  for (const step of [1, 2, 3]) disk.checkpoint(step);
  disk.write("project/data.bin", 6);
  expect(disk.guard(null)).toMatch(/^the disk is nearly full: 1 MB free of 10 MB$/);
  expect(disk.left()).toEqual(["step-1", "step-2", "step-3"]);
  // Uploaded meanwhile: now the older ones may go, the newest saved one and the newest stay.
  disk.write("project/more.bin", 1);
  expect(disk.guard("step-2")).toMatch(/nearly full/);
  expect(disk.left()).toEqual(["step-2", "step-3"]);
});

test.runIf(canMount)("old logs go last, and a full disk is looked after as well", () => {
  const disk = workspace();
  disk.checkpoint(1);
  disk.write("logs/output.log", 1);
  disk.write("logs/output.log.1", 1);
  disk.write("logs/output.log.2", 1);
  try {
    disk.write("project/ballast", 20);
  } catch {
    // what was meant
  }
  expect(disk.guard("step-1")).toBeNull();
  expect(disk.log.map((line) => line.split("/").at(-1))).toEqual(["output.log.2", "output.log.1"]);
  expect(disk.left()).toEqual(["step-1"]);
});

test.runIf(canMount)("a checkpoint with a link that leads in a circle is measured all the same", () => {
  const disk = workspace();
  disk.checkpoint(1);
  symlinkSync("..", join(disk.checkpointDir, "step-1", "loop"));
  expect(disk.guard("step-1")).toBeNull();
});
