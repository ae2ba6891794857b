/** Where progress goes. Providers write to a file, the CLI to the terminal, tests to an array. */
import { appendFileSync, mkdirSync } from "node:fs";
import { dirname } from "node:path";

export type Log = (line: string) => void;

export const silent: Log = () => {};

/** A log that appends lines to a file, for people and for the CLI's progress; it never fails its caller. */
export function fileLog(path: string, prefix: string): Log {
  return (line) => {
    try {
      mkdirSync(dirname(path), { recursive: true });
      appendFileSync(path, `${new Date().toISOString()} ${prefix}: ${line}\n`);
    } catch {
      // A full disk must not stop the destroy that is being logged.
    }
  };
}
