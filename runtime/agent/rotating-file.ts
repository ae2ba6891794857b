/**
 * An append-only log of bounded size: `path`, then `path.1` ... `path.<keep>`, oldest last.
 * It never throws: what cannot be written (disk full) is counted and dropped, because the command whose output
 * this is must not die of it.
 */
import { closeSync, existsSync, fstatSync, mkdirSync, openSync, renameSync, writeSync } from "node:fs";
import { dirname } from "node:path";

export interface RotatingFile {
  write(chunk: Buffer | string): void;
  /** Now and then: follows when somebody emptied or removed the file, and notes what was lost. */
  refresh(): void;
  /** Bytes dropped since the last write that worked; 0 when all is well. */
  lostBytes(): number;
  close(): void;
}

export function openRotatingFile(path: string, options: { maxBytes: number; keep: number }): RotatingFile {
  let file: number | undefined;
  let size = 0;
  let lost = 0;
  open();

  return {
    write(chunk) {
      const bytes = typeof chunk === "string" ? Buffer.from(chunk) : chunk;
      if (size > 0 && size + bytes.length > options.maxBytes) rotate();
      if (file === undefined) open();
      if (confessLoss()) append(bytes);
      else lost += bytes.length;
    },
    refresh() {
      if (file === undefined) return open();
      const stat = fstatSync(file);
      size = stat.size;
      if (stat.nlink === 0) {
        closeSync(file); // or its space would never come back
        open();
      }
      confessLoss();
    },
    lostBytes: () => lost,
    close() {
      if (file !== undefined) closeSync(file);
      file = undefined;
    },
  };

  function open(): void {
    file = undefined;
    try {
      mkdirSync(dirname(path), { recursive: true });
      file = openSync(path, "a", 0o644);
      size = fstatSync(file).size;
    } catch {
      size = 0;
    }
  }

  /** Says in the log how much is missing from it, once there is space for that; false while there is none. */
  function confessLoss(): boolean {
    if (lost === 0) return true;
    const missing = lost;
    lost = 0;
    if (append(Buffer.from(`\n[vastlane] ${missing} bytes of output were lost: the disk was full\n`))) return true;
    lost = missing;
    return false;
  }

  function append(bytes: Buffer): boolean {
    let done = 0;
    try {
      while (file !== undefined && done < bytes.length) done += writeSync(file, bytes, done);
    } catch {
      // ENOSPC, EDQUOT, EIO: all the same to us
    }
    size += done;
    lost += bytes.length - done;
    return done === bytes.length;
  }

  function rotate(): void {
    try {
      if (file !== undefined) closeSync(file);
      for (let n = options.keep - 1; n >= 1; n--) {
        if (existsSync(`${path}.${n}`)) renameSync(`${path}.${n}`, `${path}.${n + 1}`);
      }
      if (options.keep > 0) renameSync(path, `${path}.1`);
    } catch {
      // the names stay as they are; the file goes on growing until a later rotation works
    }
    open();
  }
}
