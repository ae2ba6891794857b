/** Finds the system's programs without running a shell. */
import { accessSync, constants, statSync } from "node:fs";
import { delimiter, isAbsolute, join } from "node:path";

/** Programs such as sshd and ip are here, which is not on every user's PATH. */
const SYSTEM_FOLDERS = [
  "/usr/local/sbin",
  "/usr/local/bin",
  "/usr/sbin",
  "/usr/bin",
  "/sbin",
  "/bin",
  "/opt/homebrew/sbin",
  "/opt/homebrew/bin",
];

/** Absolute path of a program on PATH or in a system folder, or undefined when it is not installed. */
export function findProgram(name: string, path: string = process.env.PATH ?? ""): string | undefined {
  const folders = path.split(delimiter).filter((folder) => isAbsolute(folder));
  return [...folders, ...SYSTEM_FOLDERS].map((folder) => join(folder, name)).find(isProgram);
}

/** Whether the path is a non-empty file that we may execute. */
export function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    const stat = statSync(path);
    return stat.isFile() && stat.size > 0;
  } catch {
    return false; // absent, or not ours to run: both mean "look elsewhere"
  }
}
