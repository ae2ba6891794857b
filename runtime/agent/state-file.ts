/**
 * Small JSON files that stay readable and stay fresh, on a full disk too.
 * Normally: temporary file, rename. With no space left: overwritten in place, which needs no new block because
 * each file is padded with blanks to a fixed size; if even that is refused, its modification time is set, which
 * is all that the watchdog looks at.
 */
import { closeSync, fsyncSync, openSync, renameSync, rmSync, utimesSync, writeSync } from "node:fs";

const BLOCK_BYTES = 2048;

export type Written = "whole" | "in-place" | "touched" | "no";

/** Writes `value`; one writer per path. `durable`: waits until it is on the disk (fsync). Never throws. */
export function writeStateFile(path: string, value: unknown, options: { durable: boolean }): Written {
  const bytes = pad(JSON.stringify(value));
  const temporary = `${path}.tmp`;
  if (attempt(() => write(temporary, "w", bytes, options.durable)) && attempt(() => renameSync(temporary, path))) {
    return "whole";
  }
  attempt(() => rmSync(temporary, { force: true }));
  if (attempt(() => write(path, "r+", bytes, options.durable))) return "in-place";
  const now = Date.now() / 1000;
  return attempt(() => utimesSync(path, now, now)) ? "touched" : "no";
}

function pad(json: string): Buffer {
  const length = Buffer.byteLength(json) + 1;
  const blanks = (BLOCK_BYTES - (length % BLOCK_BYTES)) % BLOCK_BYTES;
  return Buffer.from(`${json}${" ".repeat(blanks)}\n`);
}

function write(path: string, flags: "w" | "r+", bytes: Buffer, durable: boolean): void {
  const file = openSync(path, flags, 0o644);
  try {
    // A short write is how a disk with a little space left says no.
    if (writeSync(file, bytes, 0, bytes.length, 0) < bytes.length) throw new Error("short write");
    if (durable) fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

function attempt(act: () => void): boolean {
  try {
    act();
    return true;
  } catch {
    return false;
  }
}
