/** A machine's container log: appended to by the machine itself, so that it goes on without the daemon. */
import { closeSync, existsSync, fstatSync, openSync, readFileSync, readSync, writeFileSync } from "node:fs";

/** Characters that are shown, and kept when the file has grown too long. */
const KEEP_BYTES = 256 << 10;
const LIMIT_BYTES = 4 << 20;

/** Opens the log for a starting machine to write to; the caller closes the descriptor. */
export function openLog(path: string): number {
  const tail = existsSync(path) ? readTail(path) : undefined;
  if (tail?.cut) writeFileSync(path, tail.text);
  return openSync(path, "a", 0o600);
}

/** The last part of the log; empty when there is none. */
export function readLog(path: string): string {
  return existsSync(path) ? readTail(path).text : "";
}

/** The lines of this start, for an error message. */
export function lastLines(path: string, count: number): string {
  return readLog(path).trimEnd().split("\n").slice(-count).join("\n");
}

function readTail(path: string): { text: string; cut: boolean } {
  const file = openSync(path, "r");
  try {
    const size = fstatSync(file).size;
    if (size <= KEEP_BYTES) return { text: readFileSync(file, "utf8"), cut: false };
    const buffer = Buffer.alloc(KEEP_BYTES);
    readSync(file, buffer, 0, KEEP_BYTES, size - KEEP_BYTES);
    return { text: buffer.subarray(buffer.indexOf(10) + 1).toString("utf8"), cut: size > LIMIT_BYTES };
  } finally {
    closeSync(file);
  }
}
