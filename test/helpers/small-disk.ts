/** A real disk of a few megabytes, in memory: only one that is full shows what still works then. Needs root on Linux. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";

/** Whether tests can have one here. */
export const canMount = process.platform === "linux" && process.getuid?.() === 0 && isAllowed();

/** Its folder; for the test's time, so nothing may hold it open at the test's end. */
export function mountSmallDisk(megabytes: number): string {
  const { path, unmount } = mount(megabytes);
  onTestFinished(unmount);
  return path;
}

function mount(megabytes: number): { path: string; unmount(): void } {
  const path = mkdtempSync(join(tmpdir(), "vastlane-disk-"));
  const remove = () => rmSync(path, { recursive: true });
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${megabytes}m`, "tmpfs", path], { stdio: "ignore" });
  } catch (error) {
    remove();
    throw error;
  }
  const unmount = () => {
    execFileSync("umount", [path]);
    remove();
  };
  return { path, unmount };
}

function isAllowed(): boolean {
  try {
    mount(1).unmount();
    return true;
  } catch {
    return false;
  }
}
