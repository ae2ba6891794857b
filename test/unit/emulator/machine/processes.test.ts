import { spawn } from "node:child_process";
import { once } from "node:events";
import { expect, test } from "vitest";
import { descendants, listProcesses, readMarker } from "../../../../emulator/machine/processes.ts";

test("follows descent through several generations and ignores strangers", () => {
  const rows = [
    { pid: 1, parent: 0, cpuTicks: 0 },
    { pid: 10, parent: 1, cpuTicks: 0 },
    { pid: 11, parent: 10, cpuTicks: 0 },
    { pid: 12, parent: 11, cpuTicks: 0 },
    { pid: 20, parent: 1, cpuTicks: 0 },
  ];
  expect(descendants(10, rows).sort()).toEqual([10, 11, 12]);
  expect(descendants(99, rows)).toEqual([99]);
});

test("reads the marker of a process, and none where there is none", async () => {
  const child = spawn("sleep", ["60"], { env: { VASTLANE_MACHINE: "test-1", PATH: process.env.PATH } });
  await once(child, "spawn");
  const pid = child.pid ?? 0;
  expect(listProcesses().find((row) => row.pid === pid)?.parent).toBe(process.pid);
  expect(readMarker(pid)).toBe("test-1");
  expect(readMarker(process.pid)).toBeUndefined();
  child.kill("SIGKILL");
});
