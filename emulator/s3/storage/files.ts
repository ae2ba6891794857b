/** The bytes: files that are written once, in large pieces, and read in large pieces, with bounded memory. */
import { randomBytes } from "node:crypto";
import { type FileHandle, open, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Sink } from "../body.ts";
import type { Piece } from "./types.ts";

/** A file that is being written: nothing refers to it yet. */
export interface NewFile extends Sink {
  readonly name: string;
  /** All is written and on the disk. */
  finish(): Promise<void>;
  /** Closes and deletes it; also after `finish`. */
  discard(): Promise<void>;
}

/** Bytes that are gathered before they are written: the network brings them 64 KiB at a time. */
const WRITE_BYTES = 1 << 20;
const READ_BYTES = 512 << 10;

export async function createFile(folder: string): Promise<NewFile> {
  const name = randomBytes(12).toString("hex");
  const path = join(folder, name);
  const file = await open(path, "wx", 0o600);
  let isOpen = true;
  let gathered: Buffer[] = [];
  let gatheredBytes = 0;
  /** The write under way: while the disk takes one piece, the network brings the next. */
  let writing: Promise<void> = Promise.resolve();

  async function flush(): Promise<void> {
    await writing;
    const bytes = gathered;
    gathered = [];
    gatheredBytes = 0;
    writing = writeAll(file, bytes);
    writing.catch(() => {}); // awaited at the next flush
  }

  async function close(): Promise<void> {
    if (!isOpen) return;
    isOpen = false;
    await writing.catch(() => {});
    await file.close();
  }

  return {
    name,
    async write(bytes) {
      gathered.push(bytes);
      gatheredBytes += bytes.length;
      if (gatheredBytes >= WRITE_BYTES) await flush();
    },
    async finish() {
      await flush();
      await writing;
      await file.sync();
      await close();
    },
    async discard() {
      await close();
      await rm(path, { force: true });
    },
  };
}

/**
 * The bytes `start` to `end` (exclusive) of pieces that follow each other. A buffer is used again two steps later:
 * whoever takes one must be done with the one before it.
 */
export async function* readPieces(
  folder: string,
  pieces: readonly Piece[],
  start: number,
  end: number,
): AsyncGenerator<Buffer> {
  const buffers: Buffer[] = [];
  let turn = 0;
  let offset = 0;
  for (const { file: name, size } of pieces) {
    const from = Math.max(start - offset, 0);
    const to = Math.min(end - offset, size);
    offset += size;
    if (from >= to) continue;
    const file = await open(join(folder, name), "r");
    try {
      for (let at = from; at < to; ) {
        turn = (turn + 1) % 2;
        buffers[turn] ??= Buffer.allocUnsafeSlow(Math.min(READ_BYTES, end - start));
        const buffer = buffers[turn] as Buffer;
        const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.length, to - at), at);
        if (bytesRead === 0) throw new Error(`${name} is shorter than ${size} bytes`);
        at += bytesRead;
        yield buffer.subarray(0, bytesRead);
      }
    } finally {
      await file.close();
    }
  }
}

async function writeAll(file: FileHandle, bytes: Buffer[]): Promise<void> {
  let left = bytes;
  while (left.length > 0) {
    const total = left.reduce((sum, { length }) => sum + length, 0);
    const { bytesWritten } = await file.writev(left);
    if (bytesWritten === total) return;
    left = [Buffer.concat(left).subarray(bytesWritten)]; // a disk that fills up takes a part first
  }
}
